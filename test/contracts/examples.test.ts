import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REPOSITORY } from '../support/cache.ts';
import { startChild } from '../support/child.ts';
import { runProgram } from '../support/lingxi-command.ts';
import { sleep } from '../support/ports.ts';
import { viewPresence } from '../support/presence-view.ts';
import { type Deployment, deploy, freshUser } from '../support/stores.ts';

const FOLDER = join(REPOSITORY, 'docs/examples');
const PAGE = readFileSync(join(REPOSITORY, 'docs/PUSHING.md'), 'utf8');

/** How each example is run, and the program that this machine needs for it. */
const EXAMPLES = [
  { file: 'push.sh', needs: 'curl', command: ['sh'] },
  { file: 'push.py', needs: 'python3', command: ['python3'] },
  { file: 'push.go', needs: 'go', command: ['go', 'run'] },
  { file: 'publish.sh', needs: 'redis-cli', command: ['sh'] },
] as const;

/** Runs until it is stopped. */
const GAME = 'cultivation.mjs';

async function isInstalled(program: string): Promise<boolean> {
  const { code } = await runProgram(['/bin/sh', '-c', `command -v ${program}`]);
  return code === 0;
}

describe.each(['bun', 'node'] as const)('the examples of PUSHING.md against a server on %s', (runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind: 'redis+postgres' });
  });
  afterAll(() => deployment?.stop());

  it.concurrent.each(EXAMPLES)('$file reaches the user', async ({ file, needs, command }) => {
    if (!(await isInstalled(needs))) {
      process.stdout.write(`examples: ${needs} is not installed here, so ${file} was not run\n`);
      return;
    }
    const { gateway, stores } = deployment;
    const user = freshUser();
    const client = await viewPresence(deployment).v1(user);
    await client.next('welcome');
    const env = {
      GATEWAY_URL: gateway.url,
      LINGXI_API_KEY: gateway.apiKey,
      REDIS_URL: stores.redis?.url ?? '',
    };
    const ended = await runProgram([...command, join(FOLDER, file), String(user)], { env });
    expect(ended.code, ended.output).toBe(0);
    if (file !== 'publish.sh')
      expect(JSON.parse(ended.out)).toMatchObject({ results: [{ userId: user, status: 'written' }] });
    expect((await client.next('note')).data).toEqual({ text: 'hello' });
    client.terminate();
    if (file === 'publish.sh') return;
    // A script must notice that nothing was sent.
    const refused = await runProgram([...command, join(FOLDER, file), String(user)], {
      env: { ...env, LINGXI_API_KEY: 'wrong' },
    });
    expect(refused.code, refused.output).not.toBe(0);
  });
});

describe.each(['bun', 'node'] as const)('the back end of a game, on %s', (runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    const env = { LINGXI_HEARTBEAT_TIMEOUT_MS: '2000', LINGXI_PING_INTERVAL_MS: '500' };
    deployment = await deploy({ runtime, kind: 'embedded', env });
  });
  afterAll(() => deployment?.stop());

  it('lets spirit grow for who is online, and credits nothing for time offline', async () => {
    const { gateway } = deployment;
    const user = freshUser();
    const view = viewPresence(deployment);
    const game = startChild(process.execPath, [join(FOLDER, GAME)], {
      env: { PATH: process.env['PATH'] ?? '', GATEWAY_URL: gateway.url, LINGXI_API_KEY: gateway.apiKey },
    });
    try {
      const grown = async (client: { next(type: string, ms?: number): Promise<{ data: unknown }> }) =>
        (await client.next('spirit:grow', 10_000)).data as Readonly<Record<string, number>>;
      const first = await view.v1(user);
      let last = await grown(first);
      for (let count = 0; count < 2; count += 1) {
        const next = await grown(first);
        expect(next['oldSpirit']).toBe(last['newSpirit']);
        expect(next['gainAmount']).toBeCloseTo(next['elapsedSeconds'] ?? 0, 5);
        last = next;
      }
      first.send({ type: 'logout' });
      await first.closed;
      // Offline for longer than the game lags behind.
      await sleep(3_000);
      const second = await view.v1(user);
      const back = await grown(second);
      // The game lags by 1 s and looks once a second: that much may have been missing before the logout, and no more.
      expect((back['newSpirit'] ?? 0) - (last['newSpirit'] ?? 0)).toBeLessThan(
        2.9 + (back['elapsedSeconds'] ?? 0),
      );
      expect(back['elapsedSeconds']).toBeLessThan(2.5);
      second.terminate();
    } finally {
      game.signalGroup('SIGKILL');
      await game.exited;
    }
  });
});

describe('PUSHING.md', () => {
  it.each(readdirSync(FOLDER))('shows %s as it is', (file) => {
    expect(PAGE).toContain(`\n${readFileSync(join(FOLDER, file), 'utf8')}\`\`\`\n`);
    expect([...EXAMPLES.map((example) => example.file), GAME]).toContain(file);
  });
});
