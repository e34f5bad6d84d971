import { describe, expect, it } from 'vitest';
import { freshUsers, inTurns, joinAll, leave } from '../support/crowd.ts';
import { BREAK_DOWN, prepareMisbehaviour } from '../support/misbehaviour.ts';
import { drains, nodeDies } from '../support/node-scenarios.ts';
import { eventually, sleep } from '../support/ports.ts';
import { welcomeOf } from '../support/presence-view.ts';
import { BUN_AND_NODE, figure, withCluster } from '../support/two-nodes.ts';

const TIMEOUT_MS = 3_000;
/** Used if a death takes a long time, or if no user may time out meanwhile. */
const LONG_TIMEOUT_MS = 5_000;

describe.concurrent('a node dies, a peer lives', () => {
  it('[scenario 13] [PR8] [ST5] kill -9 with 200 users: the peer logs each out once, within the timeout + 2 s', () =>
    withCluster({ nodes: BUN_AND_NODE, timeoutMs: TIMEOUT_MS }, (cluster) =>
      nodeDies(
        cluster,
        { users: 200, timeoutMs: TIMEOUT_MS },
        { number: 13, how: 'kill -9', die: () => cluster.node(0).gateway.kill() },
      ),
    ));

  it.each([
    ['an uncaught exception', 'bun', 'throw'],
    ['out of memory', 'node', 'out-of-memory'],
  ] as const)('[scenario 22] [PR8] %s on %s: as after kill -9', async (what, runtime, breakDown) => {
    const misbehaviour = prepareMisbehaviour({ runtime, breakDown });
    try {
      await withCluster(
        { nodes: [{ runtime, env: misbehaviour.env }, { runtime: 'node' }], timeoutMs: LONG_TIMEOUT_MS },
        (cluster) =>
          nodeDies(
            cluster,
            { users: 40, timeoutMs: LONG_TIMEOUT_MS },
            { number: 22, how: what, die: () => cluster.node(0).gateway.kill(BREAK_DOWN) },
          ),
      );
    } finally {
      misbehaviour.remove();
    }
  });

  it('[scenario 4] [PR2] [PR8] the reap of a dead node races a connection: in either order the user is online, with at most one settlement', () =>
    withCluster(
      { nodes: [{ runtime: 'node' }, { runtime: 'bun' }], timeoutMs: TIMEOUT_MS },
      async (cluster) => {
        const crowd = await joinAll(cluster.node(0), freshUsers(60));
        await cluster.node(0).gateway.kill();
        const death = performance.now();
        // The node counts as dead at the timeout + 1 s after its last sign of life, which is up to 0.5 s before its end.
        const outcomes = await inTurns(crowd, async ({ user, welcome }, index) => {
          await sleep(TIMEOUT_MS - 600 + index * 40 - (performance.now() - death));
          const client = await cluster.node(1).view.v1(user);
          return { user, client, before: welcome, after: await welcomeOf(client) };
        });
        await sleep(2_500);
        for (const { user, client, before, after } of outcomes) {
          expect(client.socket.readyState).toBe(client.socket.OPEN);
          expect(after.epoch).toBeGreaterThan(before.epoch);
          const last = { period: after.period, settledAt: undefined, writes: 0 };
          const old = {
            period: before.period,
            reason: 'node-lost',
            settledAt: expect.any(Number),
            writes: 1,
          };
          await eventually(async () =>
            expect(await cluster.periods(user)).toMatchObject(after.resumed ? [last] : [old, last]),
          );
          expect(after.period === before.period).toBe(after.resumed);
          expect(await cluster.ends(user)).toBe(after.resumed ? 0 : 1);
        }
        const users = crowd.map(({ user }) => user);
        expect(await cluster.countInSet(users)).toBe(users.length);
        const kept = outcomes.filter(({ after }) => after.resumed).length;
        figure(
          4,
          `${kept} of ${outcomes.length} connects around the reaping of their dead node kept the period`,
        );
        expect(kept).toBeGreaterThan(0);
        expect(kept).toBeLessThan(outcomes.length);
        leave(outcomes.map(({ user, client, after }) => ({ user, client, welcome: after })));
      },
    ));
});

describe.concurrent('a node is stopped while its peer continues', () => {
  it('[scenario 23] [DR1] [DR2] drain with 500 users: no settlement for users who return in time', () =>
    withCluster({ nodes: [{ runtime: 'node' }, { runtime: 'bun' }], timeoutMs: 8_000 }, (cluster) =>
      drains(cluster, { users: 500, timeoutMs: 8_000, leastInTime: 0.95 }),
    ));
});
