import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually, sleep } from '../support/ports.ts';
import { type PresenceView, viewPresence, welcomeOf } from '../support/presence-view.ts';
import { type PostgresServer, type RedisServer, startPostgres, startRedis } from '../support/services.ts';
import { createUsers, freshUser } from '../support/stores.ts';
import { refusal } from '../support/ws-client.ts';

const TIMEOUT_MS = 2_000;

describe.each(['bun', 'node'] as const)('Redis is lost on %s', (runtime) => {
  let redis: RedisServer;
  let postgres: PostgresServer;
  let gateway: Gateway;
  let view: PresenceView;
  beforeAll(async () => {
    [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
    await createUsers(postgres);
    gateway = await startGateway({
      runtime,
      stores: { redisUrl: redis.url, databaseUrl: postgres.url },
      env: { LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS), LINGXI_PING_INTERVAL_MS: '400' },
    });
    view = viewPresence({ gateway });
  });
  afterAll(async () => {
    await gateway?.stop();
    redis?.thaw();
    await Promise.all([redis?.stop(), postgres?.stop()]);
  });

  const periods = (user: number) =>
    postgres.query('SELECT period, logout_at FROM lingxi_periods WHERE user_id = $1', [user]);
  const ready = async () => (await gateway.call('GET', '/readyz')).status;
  const readyAgain = () => eventually(async () => expect(await ready()).toBe(200), { timeoutMs: 5_000 });
  const inSet = async (user: number) =>
    (await redis.cli('SISMEMBER', 'server:online:players', String(user))) === '1';

  async function holdsOn(user: number, silent: number): Promise<void> {
    await eventually(async () => expect(await ready()).toBe(503), { timeoutMs: 4_000 });
    expect((await gateway.call('GET', '/healthz')).status).toBe(200);
    const login = await gateway.service('POST', '/api/online/login', { playerId: freshUser() });
    expect({ status: login.status, code: login.body['code'] }).toEqual({
      status: 503,
      code: 'presence-unavailable',
    });
    const refused = await refusal(gateway.wsUrl, { token: gateway.token(freshUser()) });
    expect({ status: refused.status, code: refused.body['code'] }).toEqual({
      status: 503,
      code: 'presence-unavailable',
    });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    for (const id of [user, silent]) expect(await periods(id)).toMatchObject([{ logout_at: null }]);
  }

  it('[PR10] [PR11] nobody is logged out, messages flow, and a wiped Redis is filled again within 3 s', async () => {
    const [user, silent] = [freshUser(), freshUser()];
    const client = await view.v1(user);
    client.keepAlive(400);
    const first = await welcomeOf(client);
    const quiet = await view.seed(silent);
    await redis.kill();
    await holdsOn(user, silent);
    await sleep(TIMEOUT_MS * 1.5);
    expect(client.socket.readyState).toBe(client.socket.OPEN);
    expect(quiet.socket.readyState).toBe(quiet.socket.OPEN);
    const pushed = await gateway.service('POST', '/api/messages', {
      to: { userId: user },
      type: 'still',
      data: 1,
    });
    expect(pushed.status).toBe(200);
    await client.next('still');

    quiet.keepAlive(400);
    await redis.restart();
    await eventually(
      async () => {
        expect(await inSet(user)).toBe(true);
        expect(await redis.cli('HGET', `player:online:${user}`, 'status')).toBe('online');
      },
      { timeoutMs: 3_000 },
    );
    await readyAgain();
    expect(await inSet(silent)).toBe(true);
    expect(await view.player(user)).toMatchObject({ status: 'online', connections: 1 });
    expect((await periods(user)).map((row) => Number(row['period']))).toEqual([first.period]);

    const newer = await view.v1(user);
    const second = await welcomeOf(newer);
    expect(second).toMatchObject({ period: first.period, resumed: true });
    expect(second.epoch).toBeGreaterThan(first.epoch);
    expect((await client.closed).code).toBe(4001);
    newer.terminate();
    quiet.terminate();
    const fresh = freshUser();
    expect((await view.login(fresh)).status).toBe(200);
    await view.logout(fresh);
  });

  it('[PR10] a Redis that hangs is noticed, and its return too', async () => {
    const [user, silent] = [freshUser(), freshUser()];
    const client = await view.v1(user);
    client.keepAlive(400);
    const quiet = await view.v1(silent);
    redis.freeze();
    await holdsOn(user, silent);
    await sleep(TIMEOUT_MS);
    expect(client.socket.readyState).toBe(client.socket.OPEN);
    redis.thaw();
    await readyAgain();
    await eventually(async () => expect(await view.status(user)).toBe('online'), { timeoutMs: 3_000 });
    expect(client.socket.readyState).toBe(client.socket.OPEN);
    expect(await periods(user)).toMatchObject([{ logout_at: null }]);
    client.terminate();
    quiet.terminate();
  });
});
