import { describe, expect, it } from 'vitest';
import { freshUsers, inTurns, joinAll, leave } from '../support/crowd.ts';
import { BREAK_DOWN, prepareMisbehaviour } from '../support/misbehaviour.ts';
import { drains, nodeDies } from '../support/node-scenarios.ts';
import { eventually, sleep } from '../support/ports.ts';
import { welcomeOf } from '../support/presence-view.ts';
import {
  BUN_AND_NODE,
  type Cluster,
  figure,
  untilSettled,
  wireOf,
  withCluster,
} from '../support/two-nodes.ts';

const TIMEOUT_MS = 2_000;
/** Where a death takes its time, or nothing is to time out meanwhile. */
const LONG_TIMEOUT_MS = 5_000;
/** After this a peer takes a duty that its settler does not finish, and a little for the rounds of looking. */
const TAKEN_BY_A_PEER_MS = 10_000 + 4_000;

const duties = (cluster: Cluster) => cluster.redis.cli('XLEN', 'lingxi:duties');

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

  it('[scenario 4] [PR2] [PR8] the reaping of a dead node races a connection: in either order the user is online, with at most one settlement', () =>
    withCluster(
      { nodes: [{ runtime: 'node' }, { runtime: 'bun' }], timeoutMs: TIMEOUT_MS },
      async (cluster) => {
        const crowd = await joinAll(cluster.node(0), freshUsers(60));
        await cluster.node(0).gateway.kill();
        const death = performance.now();
        // The node is dead at the timeout and 1 s after its last sign of life, which is up to 0.5 s before its end.
        const outcomes = await inTurns(crowd, async ({ user, welcome }, index) => {
          await sleep(TIMEOUT_MS + 200 + index * 25 - (performance.now() - death));
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
          expect(await cluster.periods(user)).toMatchObject(after.resumed ? [last] : [old, last]);
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

describe.concurrent('a node dies while it settles', () => {
  it('[scenario 14] [ST1] [ST7] killed between end and SQL: a peer settles', () =>
    withCluster({ nodes: BUN_AND_NODE, timeoutMs: LONG_TIMEOUT_MS }, async (cluster) => {
      const { gateway, view } = cluster.node(0);
      const users = freshUsers(10);
      for (const user of users) await view.login(user);
      await cluster.postgres.freeze();
      const answers = await Promise.all(users.map((user) => view.logout(user)));
      expect(answers.map(({ status }) => status)).toEqual(users.map(() => 200));
      // Every duty is in the hands of one of the settlers, which cannot write it.
      await eventually(async () => {
        const [pending] = (await cluster.redis.cli('XPENDING', 'lingxi:duties', 'settlers')).split('\n');
        expect(Number(pending)).toBe(users.length);
      });
      await gateway.kill();
      cluster.postgres.thaw();
      const rows = await untilSettled(cluster, users, TAKEN_BY_A_PEER_MS);
      expect(rows.map(({ logoutAt }) => logoutAt)).toEqual(answers.map(({ body }) => body['logoutTime']));
      expect(new Set(rows.map(({ reason, writes }) => `${reason} ${writes}`))).toEqual(new Set(['logout 1']));
      for (const row of rows) expect(await cluster.userTime(row.userId)).toBe(row.logoutAt);
      await eventually(async () => expect(await duties(cluster)).toBe('0'));
    }));

  it('[scenario 15] [ST2] killed after SQL, before the acknowledgement: the peer repeats the settlement, which changes nothing', () =>
    withCluster(
      { nodes: [{ runtime: 'node', wires: ['sql'] }, { runtime: 'bun' }], timeoutMs: LONG_TIMEOUT_MS },
      async (cluster) => {
        const [dying, peer] = [cluster.node(0), cluster.node(1)];
        const [user = 0] = freshUsers(1);
        // Stopped, so that the duty cannot be the peer's.
        await dying.view.login(user);
        peer.gateway.signalAll('SIGSTOP');
        const committed = wireOf(dying, 'sql').loseAnswerTo(/commit/i, /settled_at = excluded/);
        expect((await dying.view.logout(user)).status).toBe(200);
        await committed;
        const [before] = await untilSettled(cluster, [user]);
        await dying.gateway.kill();
        peer.gateway.signalAll('SIGCONT');
        expect(await duties(cluster)).toBe('1');
        expect(before).toMatchObject({ reason: 'logout', writes: 1 });
        await peer.gateway.waitForLog('settled', (line) => line['userId'] === user, TAKEN_BY_A_PEER_MS);
        await eventually(async () => expect(await duties(cluster)).toBe('0'));
        expect(await cluster.periods(user)).toEqual([before]);
        expect(await cluster.userTime(user)).toBe(before?.logoutAt);

        // And once more, by hand and late: the user has been back.
        const client = await peer.view.v1(user);
        const { period } = await welcomeOf(client);
        const time = await cluster.userTime(user);
        const duty = [user, before?.period, before?.loginAt, before?.logoutAt, before?.lastSeenAt];
        await cluster.redis.cli('XADD', 'lingxi:duties', '*', 'd', [...duty, 'logout', 'of-yore'].join('|'));
        await eventually(async () => expect(await duties(cluster)).toBe('0'));
        expect(await cluster.periods(user)).toMatchObject([
          before,
          { period, settledAt: undefined, writes: 0 },
        ]);
        expect(await cluster.userTime(user)).toBe(time);
        expect(await peer.view.status(user)).toBe('online');
        client.terminate();
      },
    ));
});

describe.concurrent('a node is stopped while its peer goes on', () => {
  it('[scenario 23] [DR1] [DR2] drain with 500 users: no settlement for users who return in time', () =>
    withCluster({ nodes: [{ runtime: 'node' }, { runtime: 'bun' }], timeoutMs: 8_000 }, (cluster) =>
      drains(cluster, { users: 500, timeoutMs: 8_000, leastInTime: 0.95 }),
    ));
});
