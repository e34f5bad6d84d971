import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REPOSITORY } from '../support/cache.ts';
import { startChild } from '../support/child.ts';
import { runProgram } from '../support/lingxi-command.ts';
import { sleep } from '../support/ports.ts';
import { viewPresence } from '../support/presence-view.ts';
import { type Deployment, deploy, freshUser } from '../support/stores.ts';

const RUNTIMES = ['bun', 'node'] as const;
const FOLDER = join(REPOSITORY, 'docs/examples');
const PAGE = readFileSync(join(REPOSITORY, 'docs/PUSHING.md'), 'utf8');

/** The command for each example, and the program that this machine needs for it. */
const EXAMPLES = [
  { file: 'push.sh', needs: 'curl', command: ['sh'] },
  { file: 'push.py', needs: 'python3', command: ['python3'] },
  { file: 'push.go', needs: 'go', command: ['go', 'run'] },
  { file: 'publish.sh', needs: 'redis-cli', command: ['sh'] },
] as const;

/** This example runs until it is stopped. */
const GAME = 'cultivation.mjs';

async function isInstalled(program: string): Promise<boolean> {
  const { code } = await runProgram(['/bin/sh', '-c', `command -v ${program}`]);
  return code === 0;
}

describe.concurrent.each(RUNTIMES)('the examples of PUSHING.md against a server on %s', (runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind: 'redis+postgres' });
  });
  afterAll(() => deployment?.stop());

  it.concurrent.each(EXAMPLES)(
    '$file reaches the user',
    async ({ file, needs, command }) => {
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
    },
    60_000,
  );
});

describe.concurrent.each(RUNTIMES)('the back end of a game, on %s', (runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind: 'embedded' });
  });
  afterAll(() => deployment?.stop());

  it('lets spirit grow for online users, and credits nothing for time offline', async () => {
    const { gateway } = deployment;
    const user = freshUser();
    const view = viewPresence(deployment);
    const game = startChild(process.execPath, [join(FOLDER, GAME)], {
      env: { PATH: process.env['PATH'] ?? '', GATEWAY_URL: gateway.url, LINGXI_API_KEY: gateway.apiKey },
    });
    try {
      const grown = async (client: { next(type: string, ms?: number): Promise<{ data: unknown }> }) =>
        (await client.next('spirit:grow', 20_000)).data as Readonly<Record<string, number>>;
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
      const { body } = await gateway.service('GET', `/api/online/player/${user}`);
      // The user is offline for longer than the game's delay.
      await sleep(3_000);
      const returned = performance.now();
      const second = await view.v1(user);
      const back = await grown(second);
      const backS = (performance.now() - returned) / 1000;
      // What was missing at the last growth is the time until the logout, plus its whole second.
      const untilLogoutS = Number(body['logoutTime']) / 1000 - (last['timestamp'] ?? 0);
      expect((back['newSpirit'] ?? 0) - (last['newSpirit'] ?? 0)).toBeLessThan(
        untilLogoutS + (back['elapsedSeconds'] ?? 0) + 0.1,
      );
      expect(back['elapsedSeconds']).toBeLessThan(backS + 0.1);
      second.terminate();
    } finally {
      game.signalGroup('SIGKILL');
      await game.exited;
    }
  }, 60_000);
});

describe('PUSHING.md', () => {
  it.each(readdirSync(FOLDER))('contains the text of %s unchanged', (file) => {
    expect(PAGE).toContain(`\n${readFileSync(join(FOLDER, file), 'utf8')}\`\`\`\n`);
    expect([...EXAMPLES.map((example) => example.file), GAME]).toContain(file);
  });
});
