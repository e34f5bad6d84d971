import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GATEWAY_COMMAND, gatewayEnvironment, type Runtime } from '../support/gateway-process.ts';
import { eventually, freePort } from '../support/ports.ts';

const RUNTIMES: readonly Runtime[] = ['bun', 'node'];

describe.each(RUNTIMES)('a server on %s', (runtime) => {
  /** Starts a server, makes it refuse a request, which causes a log line, and stops it. */
  async function serves(start: (environment: NodeJS.ProcessEnv) => ChildProcess): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), 'lingxi-lost-output-'));
    const port = await freePort();
    const child = start({
      ...gatewayEnvironment({ runtime, stores: 'embedded' }, folder),
      PORT: String(port),
    });
    const exited = once(child, 'exit');
    try {
      const url = `http://127.0.0.1:${port}`;
      await eventually(async () => expect((await fetch(`${url}/healthz`)).status).toBe(200), {
        timeoutMs: 20_000,
      });
      for (let index = 0; index < 3; index += 1)
        expect((await fetch(`${url}/api/nodes`, { headers: { authorization: 'Bearer x' } })).status).toBe(
          401,
        );
      expect((await fetch(`${url}/healthz`)).status).toBe(200);
      child.kill('SIGTERM');
      expect(await exited).toEqual([0, null]);
    } finally {
      child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    }
  }

  it('whose log is on a full disk continues to serve, and stops', async () => {
    const full = openSync('/dev/full', 'w');
    await serves((env) =>
      spawn(process.execPath, GATEWAY_COMMAND, { env, stdio: ['ignore', full, 'ignore'] }),
    );
    closeSync(full);
  });

  it('whose errors have no reader any more continues to serve, and stops', async () => {
    await serves((env) => {
      const child = spawn(process.execPath, GATEWAY_COMMAND, { env, stdio: ['ignore', 'ignore', 'pipe'] });
      child.stderr?.destroy();
      return child;
    });
  });
});
