import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, sleep } from '../support/ports.ts';
import { welcomeOf } from '../support/presence-view.ts';
import { handshake, openRaw, openRawWebSocket } from '../support/raw-socket.ts';
import { freshUser } from '../support/stores.ts';
import {
  BUN_AND_NODE,
  type Cluster,
  endAll,
  figure,
  startCluster,
  untilSettled,
} from '../support/two-nodes.ts';
import type { Client } from '../support/ws-client.ts';

const TIMEOUT_MS = 3_000;
/** Scenarios with a race run this often at the same time. */
const TRIES = 20;
/**
 * The delays after the last sign of life at which scenarios at the deadline continue: around the deadline in steps, and a few so
 * early and so late that a pause of this process changes nothing.
 */
const EDGE_DELAYS_MS = [
  ...[2_500, 2_300, 2_100, 1_900].map((earlyMs) => TIMEOUT_MS - earlyMs),
  ...Array.from({ length: 40 }, (_, step) => TIMEOUT_MS - 300 + step * 15),
  ...[1_000, 1_100, 1_200, 1_300].map((lateMs) => TIMEOUT_MS + lateMs),
];

const both = [
  { here: 0, there: 1 },
  { here: 1, there: 0 },
] as const;

describe('races of one user on two nodes, policy `replace`', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster({
      nodes: BUN_AND_NODE,
      timeoutMs: TIMEOUT_MS,
      // Many users time out within one second here on purpose (rule HB6).
      env: { LINGXI_MASS_TIMEOUT_SHARE: '0' },
    });
  });
  afterAll(() => cluster?.stop());

  /** The user is online in this one period, which has not ended. */
  async function unmoved(user: number, period: number): Promise<void> {
    for (const { view } of cluster.nodes)
      await eventually(async () => expect(await view.status(user)).toBe('online'));
    expect(await cluster.inSet(user)).toBe(true);
    expect(await cluster.periods(user)).toMatchObject([{ period, settledAt: undefined, writes: 0 }]);
    expect(await cluster.ends(user)).toBe(0);
  }

  it.concurrent.each(both)(
    '[scenario 1] [PR7] a late close after a new connection on node $here changes nothing',
    async ({ here }) => {
      const { gateway, view } = cluster.node(here);
      const user = freshUser();
      // A client that does not answer the close frame, so its connection ends at any time.
      const old = await openRawWebSocket(gateway.port(), gateway.token(user));
      const newer = await view.v1(user);
      const { period, resumed } = await welcomeOf(newer);
      expect(resumed).toBe(true);
      await eventually(() => expect(old.frames().some(({ opcode }) => opcode === 8)).toBe(true));
      await sleep(700);
      old.destroy();
      await sleep(TIMEOUT_MS + 500);
      expect(newer.socket.readyState).toBe(newer.socket.OPEN);
      expect(await view.player(user)).toMatchObject({ status: 'online', connections: 1 });
      await unmoved(user, period);
      newer.terminate();
    },
  );

  it.concurrent('[scenario 2] [PR4] [PR7] the same across nodes: the old socket is closed with 4001 within 1 s', async () => {
    const user = freshUser();
    let old = await cluster.node(0).view.v1(user);
    const { period } = await welcomeOf(old);
    const delays: number[] = [];
    for (const place of [1, 0, 1, 0]) {
      const newer = await cluster.node(place).view.v1(user);
      const at = performance.now();
      expect(await welcomeOf(newer)).toMatchObject({ period, resumed: true });
      const closed = await old.closed;
      expect(closed).toMatchObject({ code: 4001, reason: 'replaced' });
      delays.push(Math.round(closed.at - at));
      old = newer;
    }
    expect(Math.max(...delays)).toBeLessThanOrEqual(1_000);
    figure(2, `the old socket on the other node was closed after ${delays.join(', ')} ms`);
    await sleep(TIMEOUT_MS + 500);
    expect(old.socket.readyState).toBe(old.socket.OPEN);
    await unmoved(user, period);
    old.terminate();
  });

  it.concurrent('[scenario 3] [PR7] a logout three epochs late changes nothing', async () => {
    const user = freshUser();
    const clients: Client[] = [];
    const epochs: number[] = [];
    let period = 0;
    for (const place of [0, 1, 0, 1]) {
      const client = await cluster.node(place).view.v1(user);
      const welcome = await welcomeOf(client);
      clients.push(client);
      epochs.push(welcome.epoch);
      period = welcome.period;
    }
    expect(epochs).toEqual([...new Set(epochs)].toSorted((a, b) => a - b));
    for (const [index, { view }] of cluster.nodes.entries()) {
      for (const epoch of epochs.slice(0, 3)) {
        const { status, body } = await view.logout(user, epoch);
        expect({ index, status, code: body['code'] }).toEqual({ index, status: 404, code: 'not-online' });
      }
    }
    await sleep(500);
    const newest = clients.at(-1) ?? expect.fail('no client');
    expect(newest.socket.readyState).toBe(newest.socket.OPEN);
    await unmoved(user, period);
    // The newest epoch is not late.
    expect((await cluster.node(0).view.logout(user, epochs[3])).status).toBe(200);
    expect((await newest.closed).code).toBe(4000);
  });

  it.concurrent('[scenario 8] [ST2] [PR6] logout twice, one after the other and at once: one settlement', async () => {
    const users = Array.from({ length: TRIES }, freshUser);
    const logoutTimes = await Promise.all(
      users.map(async (user, index) => {
        await cluster.node(index % 2).view.login(user);
        const out = (place: number) => cluster.node(place).view.logout(user);
        const answers =
          index < TRIES / 2 ? [await out(0), await out(1)] : await Promise.all([out(0), out(1)]);
        expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 404]);
        return answers.find(({ status }) => status === 200)?.body['logoutTime'];
      }),
    );
    const rows = await untilSettled(cluster, users);
    expect(rows.map(({ logoutAt }) => logoutAt)).toEqual(logoutTimes);
    expect(new Set(rows.map(({ reason, writes }) => `${reason} ${writes}`))).toEqual(new Set(['logout 1']));
    expect(await cluster.ends(...users)).toBe(TRIES);
    for (const [index, user] of users.entries())
      expect(await cluster.userTime(user)).toBe(logoutTimes[index]);
  });

  it.concurrent('[scenario 9] [PR2] [ST6] logout, then login at once, here or there: one settlement, online', async () => {
    const users = Array.from({ length: TRIES }, freshUser);
    const seconds = await Promise.all(
      users.map(async (user, index) => {
        const { view } = cluster.node(index % 2);
        const other = cluster.node(Math.floor(index / 2) % 2);
        const first = await view.v1(user);
        const before = await welcomeOf(first);
        const { status, body } = await view.logout(user);
        const second = await other.view.v1(user);
        expect(status).toBe(200);
        const after = await welcomeOf(second);
        expect(after.resumed).toBe(false);
        expect(after.period).toBeGreaterThan(before.period);
        expect((await first.closed).code).toBe(4000);
        await eventually(async () => {
          expect(await cluster.periods(user)).toMatchObject([
            { period: before.period, logoutAt: body['logoutTime'], reason: 'logout', writes: 1 },
            { period: after.period, settledAt: undefined, writes: 0 },
          ]);
        });
        await sleep(TIMEOUT_MS + 500);
        expect(second.socket.readyState).toBe(second.socket.OPEN);
        expect(await other.view.status(user)).toBe('online');
        expect(await cluster.inSet(user)).toBe(true);
        return second;
      }),
    );
    expect(await cluster.ends(...users)).toBe(TRIES);
    endAll(seconds);
  });

  it.concurrent.each(both)(
    '[scenario 10] [PR4] the client leaves node $here before the reply and connects to node $there: the retry succeeds',
    async ({ here, there }) => {
      const users = Array.from({ length: TRIES }, freshUser);
      const clients = await Promise.all(
        users.map(async (user, index) => {
          const { gateway } = cluster.node(here);
          const lost = openRaw(gateway.port(), handshake('/ws', gateway.token(user)));
          await new Promise((resolve) => lost.socket.once('connect', resolve));
          await sleep(index % 10);
          lost.destroy();
          // Every second client returns to the same node.
          return cluster.node(index % 4 < 2 ? there : here).view.v1(user);
        }),
      );
      const welcomes = await Promise.all(clients.map(welcomeOf));
      await sleep(TIMEOUT_MS + 1_000);
      for (const [index, user] of users.entries()) {
        const { closed } = clients[index] ?? expect.fail('no client');
        expect({ user, closed: await Promise.race([closed, Promise.resolve()]) }).toEqual({
          user,
          closed: undefined,
        });
        await unmoved(user, welcomes[index]?.period ?? 0);
      }
      endAll(clients);
    },
  );

  it.concurrent('[scenario 11] [HB1] [HB4] a heartbeat arrives at the deadline: open and online, or closed and settled once', async () => {
    const users = EDGE_DELAYS_MS.map(freshUser);
    const outcomes = await Promise.all(
      users.map(async (user, index) => {
        const delayMs = EDGE_DELAYS_MS[index] ?? Number.NaN;
        const { view } = cluster.node(index % 2);
        const client = await view.seed(user);
        const last = client.ping();
        await sleep(delayMs - (performance.now() - last));
        const at = performance.now();
        if (client.socket.readyState === client.socket.OPEN) client.ping();
        const early = await Promise.race([client.closed, sleep(TIMEOUT_MS / 2)]);
        // On a busy machine a close may still wait in the socket of this process, so the server's data decides.
        const ends = await cluster.ends(user);
        const isInTime = early === undefined && (await view.status(user)) === 'online';
        if (isInTime) expect(ends).toBe(0);
        const closed = await client.closed;
        expect(closed.code).toBe(4100);
        if (isInTime) expect(closed.at - at).toBeGreaterThanOrEqual(TIMEOUT_MS - 10);
        else await eventually(async () => expect(await view.status(user)).toBe('offline'));
        const [row, ...more] = await untilSettled(cluster, [user]);
        expect(more).toEqual([]);
        expect(row).toMatchObject({
          reason: 'timeout',
          writes: 1,
          logoutAt: (row?.lastSeenAt ?? 0) + TIMEOUT_MS,
        });
        return isInTime;
      }),
    );
    expect(await cluster.ends(...users)).toBe(users.length);
    const logged = () =>
      cluster.nodes
        .flatMap(({ gateway }) => gateway.logs())
        .filter(({ event, userId }) => event === 'logged-out' && users.includes(Number(userId)))
        .map(({ userId }) => Number(userId));
    const byId = (a: number, b: number): number => a - b;
    // A line may arrive here after the rows of SQL.
    await eventually(() => expect(logged().toSorted(byId)).toEqual(users.toSorted(byId)));
    // The runs reached both sides of the deadline: early heartbeats were in time, late ones were not.
    expect(outcomes.slice(0, 4)).toContain(true);
    expect(outcomes.slice(-4)).toContain(false);
  });

  it.concurrent('[scenario 11] [PR1] an HTTP heartbeat arrives at the deadline: 200 and online for a timeout, or 404 and settled', async () => {
    const users = EDGE_DELAYS_MS.map(freshUser);
    const outcomes = await Promise.all(
      users.map(async (user, index) => {
        const delayMs = EDGE_DELAYS_MS[index] ?? Number.NaN;
        const { view } = cluster.node(index % 2);
        const other = cluster.node(Math.floor(index / 2) % 2).view;
        await view.login(user);
        const began = performance.now();
        await sleep(delayMs - (performance.now() - began));
        const { status, body } = await other.heartbeat(user);
        const [row, ...more] = await untilSettled(cluster, [user]);
        expect(more).toEqual([]);
        expect(row).toMatchObject({ reason: 'timeout', writes: 1 });
        const logoutAt = row?.logoutAt ?? 0;
        if (status === 200) {
          // The time for which the claim was on the way to Redis counts as well.
          const lateMs = logoutAt - Number(body['lastHeartbeat']) - TIMEOUT_MS;
          expect(lateMs).toBeGreaterThanOrEqual(-50);
          expect(lateMs).toBeLessThanOrEqual(1_500);
        } else {
          expect({ status, code: body['code'] }).toEqual({ status: 404, code: 'not-online' });
          expect(logoutAt).toBe((row?.lastSeenAt ?? 0) + TIMEOUT_MS);
        }
        return status;
      }),
    );
    expect(await cluster.ends(...users)).toBe(users.length);
    expect(outcomes.slice(0, 4)).toContain(200);
    expect(outcomes.slice(-4)).toContain(404);
  });
});
