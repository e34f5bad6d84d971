import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, sleep } from '../support/ports.ts';
import { type PresenceView, viewPresence, welcomeOf } from '../support/presence-view.ts';
import { type Deployment, deploy, freshUser, ONE_OF_EACH } from '../support/stores.ts';

const TIMEOUT_MS = 2_000;
const HTTP_TIMEOUT_MS = 5_000;
/** Each user proves life this long before the deadline, because a busy machine may stop a process for a while. */
const SPARE_MS = 2_000;

describe.concurrent.each(ONE_OF_EACH)('presence by HTTP on $runtime with $kind', ({ runtime, kind }) => {
  let deployment: Deployment;
  let view: PresenceView;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind,
      env: {
        LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS),
        LINGXI_HTTP_TIMEOUT_MS: String(HTTP_TIMEOUT_MS),
        LINGXI_PING_INTERVAL_MS: '300',
      },
    });
    view = viewPresence(deployment);
  });
  afterAll(() => deployment?.stop());

  const settledRow = (user: number) =>
    eventually(async () => {
      const row = (await deployment.periods(user)).at(-1);
      expect(row?.settledAt).toEqual(expect.any(Number));
      return row;
    });

  describe.concurrent('login and heartbeat', () => {
    it('[PR1] after a login the user is online until the timeout, then logged out at proof + timeout', async () => {
      const user = freshUser();
      // On a Redis that was just empty, the first login waits until every node had time to restore (PR11).
      const before = Date.now();
      const login = await view.login(user);
      const after = Date.now();
      expect(login.status).toBe(200);
      expect(login.body).toEqual({
        message: expect.any(String),
        playerId: String(user),
        loginTime: expect.any(Number),
      });
      expect(login.body['loginTime']).toBeGreaterThanOrEqual(before - 5);
      expect(login.body['loginTime']).toBeLessThanOrEqual(after + 5);
      await sleep(HTTP_TIMEOUT_MS - SPARE_MS);
      expect(await view.player(user)).toMatchObject({ status: 'online', connections: 0 });
      await eventually(async () => expect(await view.status(user)).toBe('offline'));
      const row = await settledRow(user);
      expect(row).toMatchObject({ reason: 'timeout', loginAt: login.body['loginTime'] });
      expect((row?.logoutAt ?? 0) - (row?.lastSeenAt ?? 0)).toBe(HTTP_TIMEOUT_MS);
      expect(await deployment.userTime(user)).toBe(row?.logoutAt);
    });

    it('a login with the token of the user uses the name in the token', async () => {
      const user = freshUser();
      const { gateway } = deployment;
      const answer = await gateway.call('POST', '/api/online/login', {
        token: gateway.token(user, { name: '云游 Dao' }),
        body: { playerId: user },
      });
      expect(answer.status).toBe(200);
      expect(await view.player(user)).toMatchObject({ status: 'online', username: '云游 Dao' });
      const { body } = await gateway.service('GET', `/api/dashboard/users?search=${user}`);
      expect(body['users']).toMatchObject([{ userId: user, username: '云游 Dao' }]);
    });

    it('[PR1] a heartbeat proves life for another timeout', async () => {
      const user = freshUser();
      await view.login(user);
      for (let beat = 0; beat < 3; beat += 1) {
        await sleep(HTTP_TIMEOUT_MS - SPARE_MS);
        const before = Date.now();
        const answer = await view.heartbeat(user);
        expect(answer.status).toBe(200);
        expect(answer.body).toEqual({
          message: expect.any(String),
          playerId: String(user),
          lastHeartbeat: expect.any(Number),
        });
        expect(answer.body['lastHeartbeat']).toBeGreaterThanOrEqual(before - 5);
        expect(answer.body['lastHeartbeat']).toBeLessThanOrEqual(Date.now() + 5);
      }
      expect(await view.status(user)).toBe('online');
      expect(await deployment.periods(user)).toHaveLength(1);
    });

    it('[PR1] a login of an online user returns the present period and closes no socket', async () => {
      const user = freshUser();
      const client = await view.v1(user);
      client.keepAlive(300);
      const { loginTime } = await view.player(user);
      await sleep(50);
      expect((await view.login(user)).body['loginTime']).toBe(loginTime);
      expect((await view.login(user)).body['loginTime']).toBe(loginTime);
      expect(client.socket.readyState).toBe(client.socket.OPEN);
      expect(await deployment.periods(user)).toHaveLength(1);
      client.terminate();
    });

    it('[PR1] a silent socket is closed with 4100 while HTTP heartbeats keep the user online', async () => {
      const user = freshUser();
      const client = await view.seed(user);
      const first = (await view.player(user))['loginTime'];
      // A busy machine may stop this process for longer than the timeout of the socket, before the first turn of the interval.
      expect((await view.heartbeat(user)).status).toBe(200);
      const beats = setInterval(() => void view.heartbeat(user).catch(() => undefined), 400);
      expect((await client.closed).code).toBe(4100);
      await sleep(1_000);
      expect(await view.player(user)).toMatchObject({
        status: 'online',
        connections: 0,
        loginTime: first,
      });
      clearInterval(beats);
    });

    it('[PR1] the pings of a socket keep the user online after the HTTP proof has expired', async () => {
      const user = freshUser();
      await view.login(user);
      const client = await view.seed(user);
      client.keepAlive(300);
      await sleep(HTTP_TIMEOUT_MS + 700);
      expect(await view.status(user)).toBe('online');
      expect(await deployment.periods(user)).toHaveLength(1);
      client.terminate();
    });

    it('[PR1] a take-over keeps the HTTP proof', async () => {
      const user = freshUser();
      await view.login(user);
      const client = await view.v1(user);
      const first = await welcomeOf(client);
      expect(first.resumed).toBe(true);
      client.terminate();
      await sleep(TIMEOUT_MS + 400);
      expect(await view.status(user)).toBe('online');
    });

    it('a heartbeat of an offline user gets 404', async () => {
      const answer = await view.heartbeat(freshUser());
      expect({ status: answer.status, code: answer.body['code'] }).toEqual({
        status: 404,
        code: 'not-online',
      });
    });
  });

  describe.concurrent('logout', () => {
    it('[PR6] ends the period, closes the socket with 4000, and settles the time of the answer', async () => {
      const user = freshUser();
      const client = await view.seed(user);
      const answer = await view.logout(user);
      expect(answer.status).toBe(200);
      expect(answer.body).toEqual({
        message: expect.any(String),
        playerId: String(user),
        logoutTime: expect.any(Number),
      });
      expect((await client.closed).code).toBe(4000);
      expect(await view.player(user)).toMatchObject({
        status: 'offline',
        logoutTime: answer.body['logoutTime'],
      });
      const row = await settledRow(user);
      expect(row).toMatchObject({ reason: 'logout', logoutAt: answer.body['logoutTime'] });
      expect(await deployment.userTime(user)).toBe(answer.body['logoutTime']);
    });

    it('[PR6] repeated, gives one settlement and a 404', async () => {
      const user = freshUser();
      await view.login(user);
      expect((await view.logout(user)).status).toBe(200);
      const again = await view.logout(user);
      expect({ status: again.status, code: again.body['code'] }).toEqual({
        status: 404,
        code: 'not-online',
      });
      await settledRow(user);
      expect(await deployment.periods(user)).toHaveLength(1);
    });

    it('[PR7] a late end with an old epoch changes nothing', async () => {
      const user = freshUser();
      const older = await view.v1(user);
      const { epoch } = await welcomeOf(older);
      const newer = await view.v1(user);
      newer.keepAlive(300);
      await older.closed;
      await view.logout(user, epoch);
      expect(await view.status(user)).toBe('online');
      await sleep(200);
      expect(newer.socket.readyState).toBe(newer.socket.OPEN);
      expect((await deployment.periods(user)).map((row) => row.logoutAt)).toEqual([null]);
      newer.terminate();
    });

    it('[PR7] an end with the present epoch, or a newer one, ends the period', async () => {
      for (const add of [0, 1]) {
        const user = freshUser();
        const client = await view.v1(user);
        const { epoch } = await welcomeOf(client);
        expect((await view.logout(user, epoch + add)).status).toBe(200);
        expect((await client.closed).code).toBe(4000);
      }
    });

    it('[PR7] an end with an epoch of an ended period does not affect the next period', async () => {
      const user = freshUser();
      const client = await view.v1(user);
      const { epoch } = await welcomeOf(client);
      await view.logout(user);
      const again = await view.v1(user);
      again.keepAlive(300);
      await view.logout(user, epoch);
      expect(await view.status(user)).toBe('online');
      again.terminate();
    });
  });
});
