import { describe, expect, it } from 'vitest';
import { freshUsers } from '../support/crowd.ts';
import { eventually } from '../support/ports.ts';
import { welcomeOf } from '../support/presence-view.ts';
import type { Match } from '../support/tcp-proxy.ts';
import { BUN_AND_NODE, type Cluster, untilSettled, wireOf, withCluster } from '../support/two-nodes.ts';

/** No user may time out while a store stands still. */
const TIMEOUT_MS = 5_000;
/** A peer takes a duty if its settler does not finish it within this time, which includes the intervals of the checks. */
const TAKEN_BY_A_PEER_MS = 10_000 + 8_000;

/** The commit of a transaction that settled a period. */
const isSettlement: Match = (request, past) =>
  /commit/i.test(request) && past.includes('settled_at = excluded');

const duties = (cluster: Cluster) => cluster.redis.cli('XLEN', 'lingxi:duties');

describe.concurrent('a node dies while it settles', () => {
  it('[scenario 14] [ST1] [ST7] killed between the end and the write to SQL: a peer settles', () =>
    withCluster({ nodes: BUN_AND_NODE, timeoutMs: TIMEOUT_MS }, async (cluster) => {
      const { gateway, view } = cluster.node(0);
      const users = freshUsers(10);
      for (const user of users) await view.login(user);
      await cluster.postgres.freeze();
      const answers = await Promise.all(users.map((user) => view.logout(user)));
      expect(answers.map(({ status }) => status)).toEqual(users.map(() => 200));
      // One of the settlers has each duty, and cannot write it.
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

  it('[scenario 15] [ST2] killed after the write to SQL, before the acknowledgement: the peer repeats the settlement, which changes nothing', () =>
    withCluster(
      { nodes: [{ runtime: 'node', wires: ['sql'] }, { runtime: 'bun' }], timeoutMs: TIMEOUT_MS },
      async (cluster) => {
        const [dying, peer] = [cluster.node(0), cluster.node(1)];
        const [user = 0] = freshUsers(1);
        // The peer is stopped, so that it cannot have the duty.
        await dying.view.login(user);
        peer.gateway.signalAll('SIGSTOP');
        const committed = wireOf(dying, 'sql').loseAnswer(isSettlement, 'hangs');
        expect((await dying.view.logout(user)).status).toBe(200);
        await committed.first;
        const [before] = await untilSettled(cluster, [user]);
        await dying.gateway.kill();
        peer.gateway.signalAll('SIGCONT');
        expect(await duties(cluster)).toBe('1');
        expect(before).toMatchObject({ reason: 'logout', writes: 1 });
        await peer.gateway.waitForLog('settled', (line) => line['userId'] === user, TAKEN_BY_A_PEER_MS);
        await eventually(async () => expect(await duties(cluster)).toBe('0'));
        expect(await cluster.periods(user)).toEqual([before]);
        expect(await cluster.userTime(user)).toBe(before?.logoutAt);

        // Settles once more, by hand and late: the user has returned meanwhile.
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
