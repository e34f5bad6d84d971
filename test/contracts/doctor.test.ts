import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REPOSITORY } from '../support/cache.ts';
import { startChild } from '../support/child.ts';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { sleep } from '../support/ports.ts';
import { type Deployment, deploy, ONE_OF_EACH } from '../support/stores.ts';

const TIMEOUT_MS = 120_000;
const MOST_RUNS = 3;

const faultsOf = ({ output }: { readonly output: string }): readonly string[] =>
  output.split('\n').filter((line) => line.startsWith('✗'));

/** The doctor allows 0.2 s from the deadline to the close. It still finds a close before the deadline at once. */
const isLate = (fault: string): boolean =>
  /silence ends in logout: (closed 4100 1\d\.\d+ s after the last ping|.*logoutTime is off by \d+ ms)/.test(
    fault,
  );

describe('lingxi doctor', () => {
  const deployments: Deployment[] = [];
  beforeAll(async () => {
    deployments.push(...(await Promise.all(ONE_OF_EACH.map((combination) => deploy(combination)))));
  });
  afterAll(() => Promise.all(deployments.map((deployment) => deployment.stop())));

  const examine = async (url: string, apiKey: string, dataDir: string) => {
    const child = startChild(
      process.execPath,
      [join(REPOSITORY, 'bin/lingxi.js'), 'doctor', '--url', url, '--users', '101,102'],
      { cwd: dataDir, env: { ...process.env, LINGXI_API_KEY: apiKey, NODE_ENV: 'development' } },
    );
    const exit = await child.exited;
    return { code: exit.code, output: child.output() };
  };
  /** A late result on a busy machine is no fault of the server. A server that is always late is late in each run. */
  const examineInTime = async (gateway: Gateway) => {
    const look = () => examine(gateway.url, gateway.apiKey, gateway.dataDir);
    let seen = await look();
    for (let runs = 1; runs < MOST_RUNS && faultsOf(seen).some(isLate); runs += 1) seen = await look();
    return seen;
  };

  it.concurrent.each(ONE_OF_EACH.map((combination, index) => ({ ...combination, index })))(
    'finds a healthy server on $runtime with $kind',
    async ({ index }) => {
      const gateway = deployments[index]?.gateway ?? expect.fail('no gateway');
      const { code, output } = await examineInTime(gateway);
      expect(faultsOf({ output })).toEqual([]);
      expect(output).toContain('✓');
      expect(output).toContain('spirit:grow, dungeon:event, leaderboard:update, exploration:event: ');
      expect(code, output).toBe(0);
      expect(output).not.toContain(gateway.apiKey);
    },
    TIMEOUT_MS,
  );

  it.concurrent.each(['bun', 'node'] as const)(
    'finds a healthy server on %s whose back end pushes to everybody who comes online',
    async (runtime) => {
      const gateway = await startGateway({ runtime, stores: 'embedded' });
      const backEnd = pushToWhoComesOnline(gateway);
      try {
        const { code, output } = await examineInTime(gateway);
        expect(faultsOf({ output })).toEqual([]);
        expect(code, output).toBe(0);
        const pushed = await backEnd.stop();
        expect(pushed, 'messages that the back end delivered').toBeGreaterThan(20);
      } finally {
        await backEnd.stop();
        await gateway.stop();
      }
    },
    TIMEOUT_MS,
  );

  it.concurrent('exits with 1 and prints what it saw if a check fails', async () => {
    const gateway = deployments[0]?.gateway ?? expect.fail('no gateway');
    const { code, output } = await examine(gateway.url, `${gateway.apiKey}-wrong`, gateway.dataDir);
    expect(code).toBe(1);
    expect(output).toMatch(/✗|401/);
  });

  it.concurrent('probe refuses a token of a user other than --user', async () => {
    const gateway = deployments[0]?.gateway ?? expect.fail('no gateway');
    const probe = [join(REPOSITORY, 'bin/lingxi.js'), 'probe', '--url', gateway.url, '--user', '104'];
    const child = startChild(process.execPath, [...probe, '--token', gateway.token(103)], {
      cwd: gateway.dataDir,
    });
    // A probe that connects never ends by itself.
    const timer = setTimeout(() => child.signal('SIGKILL'), 25_000);
    const { code } = await child.exited;
    clearTimeout(timer);
    expect(child.output()).toContain('403 user-mismatch');
    expect(code).toBe(1);
  });
});

/** A back end that pushes to each user who comes online, and repeats that while the user stays. Doctor uses the same types. */
function pushToWhoComesOnline(gateway: Gateway): { readonly stop: () => Promise<number> } {
  let isStopped = false;
  let pushed = 0;
  const online = new Set<number>();
  const push = async (userId: number): Promise<void> => {
    for (const type of ['spirit:grow', 'shop:open']) {
      const body = { to: { userId }, type, data: { oldSpirit: 1, newSpirit: 2 } };
      const { results = [] } = (await gateway.service('POST', '/api/messages', body)).body as {
        results?: readonly { status: string }[];
      };
      if (['acked', 'written'].includes(results[0]?.status ?? '')) pushed += 1;
    }
  };
  const work = async (): Promise<void> => {
    let cursor = '0-0';
    while (!isStopped) {
      const { body } = await gateway.service('GET', `/api/online/events?limit=1000&cursor=${cursor}`);
      for (const { type, userId } of body['events'] as readonly { type: string; userId: number }[])
        if (type === 'online') online.add(userId);
        else online.delete(userId);
      cursor = String(body['cursor']);
      for (const userId of online) await push(userId);
      await sleep(20);
    }
  };
  const working = work();
  return {
    async stop() {
      isStopped = true;
      await working;
      return pushed;
    },
  };
}
