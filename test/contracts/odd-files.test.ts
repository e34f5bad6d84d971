import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startChild } from '../support/child.ts';
import { GATEWAY_COMMAND, gatewayEnvironment, startGateway } from '../support/gateway-process.ts';

const makeFifo = (path: string) => execFileSync('/usr/bin/mkfifo', [path]);

/** A start that hangs never ends by itself. */
const LIMIT_MS = 20_000;

const REFUSED = ['left-logouts.json', 'revocations.json'].flatMap((file) => [
  ['FIFO', file, makeFifo] as const,
  ['directory', file, (path: string) => mkdirSync(path)] as const,
]);

describe.each(['bun', 'node'] as const)('a file of the data folder that is no file, on %s', (runtime) => {
  it.each(REFUSED)(
    'a %s named %s ends the start with one sentence that names it',
    async (_kind, file, make) => {
      const folder = mkdtempSync(join(tmpdir(), 'lingxi-odd-'));
      const path = join(folder, 'data', file);
      mkdirSync(join(folder, 'data'));
      make(path);
      const child = startChild(process.execPath, GATEWAY_COMMAND, {
        cwd: folder,
        env: gatewayEnvironment({ runtime, stores: 'embedded' }, folder),
        removeOnDeath: folder,
      });
      const timer = setTimeout(() => child.signalGroup('SIGKILL'), LIMIT_MS);
      const exit = await child.exited;
      clearTimeout(timer);
      rmSync(folder, { recursive: true, force: true });
      const sentence = `${path} cannot be read (it is no regular file): put back a copy of it, or remove it, `;
      expect([exit.code, child.output()]).toEqual([1, expect.stringContaining(sentence)]);
    },
    2 * LIMIT_MS,
  );

  it('a FIFO named demo-game.json does not prevent the start', async () => {
    const gateway = await startGateway({ runtime, stores: 'embedded' });
    try {
      await gateway.kill();
      const path = join(gateway.dataDir, 'data', 'demo-game.json');
      rmSync(path, { force: true });
      makeFifo(path);
      await gateway.restart();
      expect((await gateway.call('GET', '/healthz')).status).toBe(200);
    } finally {
      await gateway.stop();
    }
  });
});
