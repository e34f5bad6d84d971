import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, sleep } from '../support/ports.ts';
import { type PresenceView, viewPresence, welcomeOf } from '../support/presence-view.ts';
import { COMBINATIONS, type Deployment, deploy, freshUser } from '../support/stores.ts';

/** Short, so that a run is short. scenarios/ten-seconds.test.ts measures the default ten seconds. */
const TIMEOUT_MS = 2_500;
/** On a busy machine, an end may become visible this much later than the deadline. */
const LATE_MS = 3_000;

describe.concurrent.each(COMBINATIONS)('presence on $runtime with $kind', ({ runtime, kind }) => {
  let deployment: Deployment;
  let view: PresenceView;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind,
      env: { LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS), LINGXI_PING_INTERVAL_MS: '300' },
    });
    view = viewPresence(deployment);
  });
  afterAll(() => deployment?.stop());

  const offline = (user: number) => eventually(async () => expect(await view.status(user)).toBe('offline'));
  const settled = (user: number) =>
    eventually(async () => {
      const rows = await deployment.periods(user);
      expect(rows.at(-1)?.settledAt).toEqual(expect.any(Number));
      return rows;
    });

  describe.concurrent('heartbeat', () => {
    it('[HB1] [HB4] a client without lingxi.v1 that stops pinging is logged out after the timeout, never early', async () => {
      const user = freshUser();
      const client = await view.seed(user);
      const stop = client.keepAlive(300);
      await sleep(TIMEOUT_MS + 500);
      expect(await view.status(user)).toBe('online');
      stop();
      const lastAt = Date.now();
      const last = client.ping();
      const closed = await client.closed;
      expect(closed.code).toBe(4100);
      expect(closed.at - last).toBeGreaterThanOrEqual(TIMEOUT_MS - 5);
      expect(closed.at - last).toBeLessThan(TIMEOUT_MS + LATE_MS);
      await offline(user);
      const [row, ...more] = await settled(user);
      expect(more).toEqual([]);
      expect(row).toMatchObject({ userId: user, reason: 'timeout' });
      expect(row?.lastSeenAt).toBeGreaterThanOrEqual(lastAt - 5);
      expect(row?.lastSeenAt).toBeLessThan(lastAt + LATE_MS);
      expect(row?.logoutAt).toBe((row?.lastSeenAt ?? 0) + TIMEOUT_MS);
      expect(await deployment.userTime(user)).toBe(row?.logoutAt);
      expect((await view.player(user))['logoutTime']).toBe(row?.logoutAt);
    });

    it('[HB2] any well-formed message counts like a ping', async () => {
      const user = freshUser();
      const client = await view.seed(user);
      const talk = setInterval(() => client.send({ type: 'chat', data: 'hi' }), 300);
      await sleep(TIMEOUT_MS * 2);
      expect(client.socket.readyState).toBe(client.socket.OPEN);
      clearInterval(talk);
      expect((await client.closed).code).toBe(4100);
    });

    it('[HB2] protocol pongs do not keep a client without lingxi.v1 online', async () => {
      const client = await view.seed(freshUser());
      const last = client.ping();
      const pong = setInterval(() => client.socket.pong(), 200);
      const closed = await client.closed;
      clearInterval(pong);
      expect(closed.code).toBe(4100);
      expect(closed.at - last).toBeLessThan(TIMEOUT_MS + LATE_MS);
    });

    it('[HB3] a lingxi.v1 client in the background that only answers pings stays online', async () => {
      const user = freshUser();
      const client = await view.v1(user);
      await sleep(TIMEOUT_MS * 3);
      expect(client.pings()).toBeGreaterThan(2);
      expect(await view.status(user)).toBe('online');
      client.terminate();
    });

    it('[HB3] a lingxi.v1 client that answers nothing is logged out', async () => {
      const user = freshUser();
      const client = await view.v1(user, { autoPong: false });
      expect((await client.closed).code).toBe(4100);
      await offline(user);
    });
  });

  describe.concurrent('connections', () => {
    it('[PR1] [ST4] a connected user is online and its period is written', async () => {
      const user = freshUser();
      const before = Date.now();
      const client = await view.v1(user);
      const { period, resumed } = await welcomeOf(client);
      expect(resumed).toBe(false);
      const player = await view.player(user);
      expect(player).toMatchObject({ playerId: String(user), status: 'online', connections: 1 });
      expect(player['loginTime']).toBeGreaterThanOrEqual(before - 5);
      const [row] = await deployment.periods(user);
      expect(row).toMatchObject({ period, loginAt: player['loginTime'], logoutAt: null, settledAt: null });
      const all = await deployment.gateway.service('GET', '/api/online/players');
      expect(JSON.stringify(all.json)).toContain(`"playerId":"${user}"`);
      client.terminate();
    });

    it('[PR2] [PR3] [PR7] a take-over keeps the period, raises the epoch, and a late end changes nothing', async () => {
      const user = freshUser();
      const older = await view.v1(user);
      const newer = await view.v1(user);
      const stop = newer.keepAlive(300);
      const [first, second] = [await welcomeOf(older), await welcomeOf(newer)];
      expect((await older.closed).code).toBe(4001);
      expect(second).toMatchObject({ period: first.period, resumed: true });
      expect(second.epoch).toBeGreaterThan(first.epoch);
      await sleep(TIMEOUT_MS + 1_500);
      expect(await view.status(user)).toBe('online');
      expect((await deployment.periods(user)).map((row) => row.logoutAt)).toEqual([null]);
      expect(newer.socket.readyState).toBe(newer.socket.OPEN);
      stop();
      newer.terminate();
    });

    it('[PR5] a user who returns before the timeout was never offline', async () => {
      const user = freshUser();
      const client = await view.v1(user);
      const first = await welcomeOf(client);
      client.terminate();
      await sleep(TIMEOUT_MS / 3);
      expect(await view.status(user)).toBe('online');
      const again = await view.v1(user);
      const second = await welcomeOf(again);
      expect(second).toMatchObject({ period: first.period, resumed: true });
      again.keepAlive(300);
      await sleep(TIMEOUT_MS);
      expect(await deployment.periods(user)).toHaveLength(1);
      expect(await view.status(user)).toBe('online');
      again.terminate();
    });

    it.each(['close', 'terminate'] as const)(
      '[PR5] [PR6] a %s is no logout: the user lingers, then times out',
      async (way) => {
        const user = freshUser();
        const client = await view.v1(user);
        const first = await welcomeOf(client);
        const proof = Date.now();
        client.send({ type: 'ping', timestamp: 1 });
        await client.next('pong');
        client[way]();
        await client.closed;
        const left = Date.now();
        await offline(user);
        const [row] = await settled(user);
        expect(row).toMatchObject({ period: first.period, reason: 'timeout' });
        // A close frame is an inbound frame, so the newest proof of life may be the close itself.
        expect(row?.lastSeenAt).toBeGreaterThanOrEqual(proof - 5);
        expect(row?.lastSeenAt).toBeLessThan(left + LATE_MS);
        expect(row?.logoutAt).toBe((row?.lastSeenAt ?? 0) + TIMEOUT_MS);
        const again = await view.v1(user);
        const second = await welcomeOf(again);
        expect(second.resumed).toBe(false);
        expect(second.period).toBeGreaterThan(first.period);
        expect(second.epoch).toBeGreaterThan(first.epoch);
        again.terminate();
      },
    );

    it('[PR5] a logout message ends the period at once, with that reason', async () => {
      const user = freshUser();
      const client = await view.v1(user);
      const at = Date.now();
      client.send({ type: 'logout' });
      expect((await client.closed).code).toBe(4000);
      const [row] = await settled(user);
      expect(row).toMatchObject({ reason: 'logout' });
      expect(row?.logoutAt).toBeGreaterThanOrEqual(at - 5);
      expect(row?.logoutAt).toBeLessThanOrEqual(Date.now() + 5);
      expect(await deployment.userTime(user)).toBe(row?.logoutAt);
    });

    it('[PR6] a kick ends the period with that reason, closes with 4002 and blocks for the given time', async () => {
      const user = freshUser();
      const client = await view.seed(user);
      const answer = await deployment.gateway.service('POST', `/api/users/${user}/disconnect`, {
        reason: 'maintenance',
        blockMs: 3_000,
      });
      expect(answer.status).toBe(200);
      expect((await client.closed).code).toBe(4002);
      await expect(view.seed(user)).rejects.toThrow('blocked');
      const [row] = await settled(user);
      expect(row).toMatchObject({ reason: 'kick' });
      const again = await eventually(() => view.seed(user), { intervalMs: 100 });
      again.terminate();
    });

    it('[ST6] a logout and an immediate login give one settlement and an online user', async () => {
      const user = freshUser();
      const client = await view.v1(user);
      const first = await welcomeOf(client);
      client.send({ type: 'logout' });
      await client.closed;
      const asked = performance.now();
      const again = await view.v1(user);
      const tookMs = performance.now() - asked;
      const second = await welcomeOf(again);
      expect(second.period).toBeGreaterThan(first.period);
      // A login waits for the settlement, for 500 ms at most.
      await eventually(
        async () => {
          const rows = await deployment.periods(user);
          expect(rows.map((row) => row.reason)).toEqual(['logout', null]);
        },
        { timeoutMs: tookMs < 500 ? 0 : 5_000 },
      );
      expect(await view.status(user)).toBe('online');
      again.terminate();
    });

    it('[PR3] of many simultaneous logins of one user one stays, and all epochs differ', async () => {
      const user = freshUser();
      const clients = await Promise.all(Array.from({ length: 5 }, () => view.v1(user)));
      const welcomes = await Promise.all(clients.map(welcomeOf));
      expect(new Set(welcomes.map((welcome) => welcome.epoch)).size).toBe(5);
      expect(new Set(welcomes.map((welcome) => welcome.period)).size).toBe(1);
      const newest = Math.max(...welcomes.map((welcome) => welcome.epoch));
      await eventually(() => {
        const open = clients.map((client) => client.socket.readyState === client.socket.OPEN);
        expect(open).toEqual(welcomes.map((welcome) => welcome.epoch === newest));
      });
      expect((await view.player(user))['connections']).toBe(1);
      for (const client of clients) client.terminate();
    });
  });
});
