import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freshUsers } from '../support/crowd.ts';
import type { Runtime } from '../support/gateway-process.ts';
import { readMetrics } from '../support/metrics.ts';
import { eventually } from '../support/ports.ts';
import { welcomeOf } from '../support/presence-view.ts';
import { type Cluster, startCluster } from '../support/two-nodes.ts';
import { type Client, type Refusal, tryConnect } from '../support/ws-client.ts';

/** More logins than the node admits at a time, and the number that it admits however busy it is. */
const STORM = 1_300;
const AT_LEAST = 64;
/** Longer than a login may wait in line. */
const STALL_MS = 3_000;

const isRefused = (outcome: Client | Refusal): outcome is Refusal => 'status' in outcome;

const RUNTIMES = ['bun', 'node'] as const;
const clusters = new Map<Runtime, Cluster>();
beforeAll(async () => {
  await Promise.all(
    RUNTIMES.map(async (runtime) => {
      const env = { LINGXI_REDIS_TIMEOUT_MS: '10000' };
      clusters.set(runtime, await startCluster({ nodes: [{ runtime }], timeoutMs: 10_000, env }));
    }),
  );
});
afterAll(() => Promise.all([...clusters.values()].map((cluster) => cluster.stop())));

function clusterOf(runtime: Runtime): Cluster {
  return clusters.get(runtime) ?? expect.fail(`no cluster on ${runtime}`);
}

describe('a storm of logins while Redis stalls', () => {
  // One after the other: a storm keeps both cores busy.
  it.each(RUNTIMES)(
    '[DR3] [DR4] logins beyond the capacity of the node get 503 overloaded, and open connections stay served, on %s',
    async (runtime) => {
      const cluster = clusterOf(runtime);
      const { gateway, view } = cluster.node(0);
      const [resident = 0, away = 0, ...others] = freshUsers(STORM + 2);
      const open = await view.v1(resident);
      await open.next('welcome');
      const lost = await view.v1(away);
      const { period } = await welcomeOf(lost);
      lost.terminate();
      await lost.closed;

      cluster.redis.freeze();
      const dial = (user: number) =>
        tryConnect(gateway.wsUrl, { token: gateway.token(user), protocols: ['lingxi.v1'] });
      const outcomes = Promise.all(others.map(dial));
      await eventually(async () => {
        const metrics = await readMetrics(gateway);
        expect(metrics('lingxi_logins_waiting')).toBeGreaterThan(0);
      });
      // This user lingers on the node. The node refuses the user too, because nobody gets in meanwhile.
      const returned = dial(away);
      const sentAt = performance.now();
      open.send({ type: 'ping', timestamp: 1 });
      await open.next('pong');
      // Redis is still frozen: no login of the storm can end before this answer.
      expect(performance.now() - sentAt).toBeLessThan(4_000);
      const message = { to: { userId: resident }, type: 'still', data: 1 };
      expect((await gateway.service('POST', '/api/messages', message)).body).toMatchObject({
        counts: { written: 1 },
      });

      await eventually(async () => {
        const metrics = await readMetrics(gateway);
        expect(metrics('lingxi_refused_total{code="overloaded"}')).toBeGreaterThan(0);
        expect(metrics('lingxi_logins_waiting')).toBe(0);
      });
      expect(await returned).toMatchObject({ status: 503 });
      cluster.redis.thaw();
      const all = await outcomes;
      const refused = all.filter(isRefused);
      expect(refused.length).toBeGreaterThan(0);
      expect(refused.length).toBeLessThanOrEqual(STORM - AT_LEAST);
      for (const { status, body, headers } of refused)
        expect({ status, code: body['code'], after: headers['retry-after'] }).toEqual({
          status: 503,
          code: 'overloaded',
          after: expect.stringMatching(/^[1-5]$/),
        });
      // Random, so that they do not return at the same time.
      expect(new Set(refused.map(({ headers }) => headers['retry-after'])).size).toBeGreaterThan(2);
      const back = await dial(away);
      if (isRefused(back)) throw new Error(`still refused with ${back.status}`);
      expect(await welcomeOf(back)).toMatchObject({ period, resumed: true });
      for (const outcome of [...all, open, back]) if (!isRefused(outcome)) outcome.terminate();
    },
  );

  it.concurrent.each(RUNTIMES)(
    '[DR3] a hundred logins at once are all accepted, however slow Redis is, on %s',
    async (runtime) => {
      const cluster = clusterOf(runtime);
      const { gateway } = cluster.node(0);
      await cluster.redis.cli('CLIENT', 'PAUSE', String(STALL_MS), 'ALL');
      const outcomes = await Promise.all(
        freshUsers(100).map((user) =>
          tryConnect(gateway.wsUrl, { token: gateway.token(user), protocols: ['lingxi.v1'] }),
        ),
      );
      expect(outcomes.filter(isRefused)).toEqual([]);
      for (const outcome of outcomes) if (!isRefused(outcome)) outcome.terminate();
    },
  );
});
