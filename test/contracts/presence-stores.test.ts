import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, sleep } from '../support/ports.ts';
import { type PresenceView, viewPresence } from '../support/presence-view.ts';
import { type Deployment, deploy, freshUser, KNOWN_USERS } from '../support/stores.ts';
import { connect, refusal } from '../support/ws-client.ts';

const TIMEOUT_MS = 3_000;
/** On a busy machine, a record is renewed this much later. */
const LATE_MS = 1_500;
const LONG_AGO = Date.parse('2020-01-01T00:00:00Z');

describe.each(['bun', 'node'] as const)('the contents of Redis and PostgreSQL on %s', (runtime) => {
  let deployment: Deployment;
  let view: PresenceView;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind: 'redis+postgres',
      env: { LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS), LINGXI_PING_INTERVAL_MS: '300' },
    });
    view = viewPresence(deployment);
  });
  afterAll(() => deployment?.stop());

  const redis = (...args: string[]): Promise<string> => {
    if (deployment.stores.redis === undefined) throw new Error('no Redis');
    return deployment.stores.redis.cli(...args);
  };
  const hash = async (user: number): Promise<Record<string, string>> => {
    const lines = (await redis('HGETALL', `player:online:${user}`)).split('\n');
    const pairs = lines.flatMap((name, at) => (at % 2 === 0 ? [[name, lines[at + 1] ?? ''] as const] : []));
    return Object.fromEntries(pairs);
  };
  const inSet = async (user: number) =>
    (await redis('SISMEMBER', 'server:online:players', String(user))) === '1';
  const setTime = (user: number, ms: number | null) =>
    deployment.stores.postgres?.query(
      'UPDATE users SET last_spirit_gain_time = to_timestamp($2::float8 / 1000) WHERE id = $1',
      [user, ms],
    );

  describe.concurrent('Redis', () => {
    it('has the keys that other programs read, for an online and an offline user', async () => {
      const user = freshUser();
      const client = await view.seed(user);
      const stop = client.keepAlive(300);
      const online = await hash(user);
      const player = await view.player(user);
      expect(online).toMatchObject({
        playerId: String(user),
        loginTime: String(player['loginTime']),
        ip: '127.0.0.1',
        status: 'online',
      });
      expect(online['lastHeartbeat']).toMatch(/^\d{13}$/);
      expect(await inSet(user)).toBe(true);
      const ttl = Number(await redis('PTTL', `player:online:${user}`));
      expect(ttl).toBeGreaterThan(50_000);
      expect(ttl).toBeLessThanOrEqual(60_000);
      stop();
      const last = Date.now();
      client.ping();
      await client.closed;
      const closed = Date.now();
      await eventually(async () => expect((await hash(user))['status']).toBe('offline'));
      expect(await inSet(user)).toBe(false);
      const offline = await hash(user);
      expect(Number(offline['lastHeartbeat'])).toBeGreaterThanOrEqual(last - 5);
      expect(Number(offline['lastHeartbeat'])).toBeLessThan(closed - TIMEOUT_MS + LATE_MS);
      expect(Number(offline['logoutTime'])).toBe(Number(offline['lastHeartbeat']) + TIMEOUT_MS);
      await eventually(async () => {
        const [row] = await deployment.periods(user);
        expect(row?.logoutAt).toBe(Number(offline['logoutTime']));
      });
    });

    it('renews lastHeartbeat, at most 5 s late', async () => {
      const user = freshUser();
      const client = await view.seed(user);
      client.keepAlive(300);
      const first = Number((await hash(user))['lastHeartbeat']);
      await sleep(5_000 + LATE_MS);
      const before = Date.now();
      const entry = await hash(user);
      expect(Number(entry['lastHeartbeat'])).toBeGreaterThan(first);
      expect(before - Number(entry['lastHeartbeat'])).toBeLessThan(5_000 + LATE_MS);
      client.terminate();
    });

    it('[PR1] has the same for an HTTP login', async () => {
      const user = freshUser();
      await view.login(user);
      expect(await hash(user)).toMatchObject({ playerId: String(user), status: 'online' });
      expect(await inSet(user)).toBe(true);
      await view.logout(user);
      expect(await hash(user)).toMatchObject({ status: 'offline' });
      expect(await inSet(user)).toBe(false);
    });

    it('shows every lingering user as online, and none after the linger', async () => {
      const user = freshUser();
      const client = await view.seed(user);
      client.terminate();
      await sleep(300);
      expect(await inSet(user)).toBe(true);
      await eventually(async () => expect(await inSet(user)).toBe(false));
      expect((await hash(user))['status']).toBe('offline');
    });
  });

  describe.concurrent('PostgreSQL', () => {
    it.each(['WebSocket', 'HTTP'] as const)(
      "[ST9] opening a period by %s sets the user's time to now; joining one resets nothing",
      async (way) => {
        const user = freshUser();
        await setTime(user, LONG_AGO);
        const before = Date.now();
        const enter = async () => (way === 'HTTP' ? view.login(user) : view.seed(user));
        await enter();
        const opened = (await deployment.userTime(user)) ?? 0;
        expect(opened).toBeGreaterThanOrEqual(before - 5);
        expect(opened).toBeLessThanOrEqual(Date.now() + 5);
        await setTime(user, LONG_AGO);
        await view.login(user);
        (await view.seed(user)).terminate();
        expect(await deployment.userTime(user)).toBe(LONG_AGO);
        await view.logout(user);
      },
    );

    it('[ST9] the row and its time are written before the id is in the set', async () => {
      const users = Array.from({ length: 20 }, freshUser);
      for (const user of users) await setTime(user, LONG_AGO);
      let done = false;
      const early: number[] = [];
      const watch = (async () => {
        while (!done) {
          for (const id of (await redis('SMEMBERS', 'server:online:players')).split('\n').map(Number)) {
            if (users.includes(id) && (await deployment.userTime(id)) === LONG_AGO) early.push(id);
          }
        }
      })();
      await Promise.all(users.map((user) => view.login(user)));
      await sleep(200);
      done = true;
      await watch;
      expect(early).toEqual([]);
    });

    it('[ST2] time never moves back', async () => {
      const user = freshUser();
      const future = Date.parse('2099-01-01T00:00:00Z');
      const client = await view.seed(user);
      await setTime(user, future);
      await view.logout(user);
      await client.closed;
      await eventually(async () => {
        expect((await deployment.periods(user)).at(-1)?.settledAt).toEqual(expect.any(Number));
      });
      expect(await deployment.userTime(user)).toBe(future);
    });

    it.each([
      ['NULL', 'NULL'],
      ['year 1', "timestamptz '0001-01-01 00:00:00+00'"],
    ])('[ST2] %s in the column means never', async (_name, sql) => {
      const user = freshUser();
      await deployment.stores.postgres?.query(
        `UPDATE users SET last_spirit_gain_time = ${sql} WHERE id = $1`,
        [user],
      );
      await view.login(user);
      const { body } = await view.logout(user);
      await eventually(async () => expect(await deployment.userTime(user)).toBe(body['logoutTime']));
    });

    it('[ST2] a user without a row is settled too', async () => {
      const user = freshUser();
      await view.login(user);
      await deployment.stores.postgres?.query('DELETE FROM users WHERE id = $1', [user]);
      const { body } = await view.logout(user);
      await eventually(async () => {
        const [row] = await deployment.periods(user);
        expect(row).toMatchObject({ logoutAt: body['logoutTime'], settledAt: expect.any(Number) });
      });
    });
  });
});

describe.concurrent.each([
  ['reject', 'bun'],
  ['create', 'node'],
  ['ignore', 'bun'],
] as const)('LINGXI_UNKNOWN_USERS=%s on %s', (policy, runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind: 'redis+postgres',
      env: { LINGXI_UNKNOWN_USERS: policy },
    });
  });
  afterAll(() => deployment?.stop());

  it('decides about a user without a row', async () => {
    const { gateway, stores } = deployment;
    const [byHttp, bySocket] = [KNOWN_USERS + 1, KNOWN_USERS + 2];
    const login = await gateway.service('POST', '/api/online/login', { playerId: byHttp });
    if (policy === 'reject') {
      expect({ status: login.status, code: login.body['code'] }).toEqual({
        status: 400,
        code: 'unknown-user',
      });
      expect((await refusal(gateway.wsUrl, { token: gateway.token(bySocket) })).status).toBe(404);
      expect(await stores.redis?.cli('EXISTS', `player:online:${byHttp}`)).toBe('0');
      expect(await deployment.periods(byHttp)).toEqual([]);
      return;
    }
    expect(login.status).toBe(200);
    (await connect(gateway.wsUrl, { token: gateway.token(bySocket) })).terminate();
    expect(await deployment.periods(bySocket)).toHaveLength(1);
    const time = await deployment.userTime(bySocket);
    expect(typeof time).toBe(policy === 'create' ? 'number' : 'undefined');
  });
});
