import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually, sleep } from '../support/ports.ts';
import { type PresenceView, viewPresence } from '../support/presence-view.ts';
import { type PostgresServer, type RedisServer, startPostgres, startRedis } from '../support/services.ts';
import { createUsers, freshUser } from '../support/stores.ts';

const TIMEOUT_MS = 1_500;

describe.each(['bun', 'node'] as const)('PostgreSQL is lost on %s', (runtime) => {
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
      env: { LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS), LINGXI_PING_INTERVAL_MS: '300' },
    });
    view = viewPresence({ gateway });
  });
  afterAll(async () => {
    await gateway?.stop();
    await Promise.all([redis?.stop(), postgres?.stop()]);
  });

  const pending = async () => {
    const { text } = await gateway.call('GET', '/metrics');
    return Number(/^lingxi_settlements_pending (\S+)$/m.exec(text)?.[1] ?? Number.NaN);
  };

  it('[ST7] presence goes on, duties wait and grow old, and drain after the return', async () => {
    const [staying, leaving, silent] = [freshUser(), freshUser(), freshUser()];
    const client = await view.seed(staying);
    client.keepAlive(300);
    await view.seed(leaving);
    const quiet = await view.seed(silent);
    await postgres.kill();

    const logout = await view.logout(leaving);
    expect(logout.status).toBe(200);
    expect((await quiet.closed).code).toBe(4100);
    await eventually(async () => expect(await view.status(silent)).toBe('offline'));
    await eventually(async () => expect(await pending()).toBe(2));
    const { text } = await gateway.call('GET', '/metrics');
    expect(text).toMatch(/^lingxi_settlement_oldest_age_seconds (?!0$)\d/m);

    // A period may not open without the reset of the user's time (ST9).
    const login = await view.login(freshUser());
    expect({ status: login.status, code: login.body['code'] }).toEqual({
      status: 503,
      code: 'settlement-unavailable',
    });
    expect((await gateway.call('GET', '/healthz')).status).toBe(200);
    // Joining an open period needs no SQL.
    expect((await view.login(staying)).status).toBe(200);
    await sleep(TIMEOUT_MS);
    expect(client.socket.readyState).toBe(client.socket.OPEN);
    expect(await view.status(staying)).toBe('online');

    await postgres.restart();
    await eventually(async () => expect(await pending()).toBe(0), { timeoutMs: 15_000, intervalMs: 100 });
    for (const user of [leaving, silent]) {
      const rows = await postgres.query(
        'SELECT p.logout_at, p.reason, p.settled_at, u.last_spirit_gain_time AS time FROM lingxi_periods p ' +
          'JOIN users u ON u.id = p.user_id WHERE p.user_id = $1',
        [user],
      );
      expect(rows).toHaveLength(1);
      expect(rows[0]).toMatchObject({ reason: user === leaving ? 'logout' : 'timeout' });
      expect(rows[0]?.['settled_at']).toBeInstanceOf(Date);
      expect(rows[0]?.['time']).toEqual(rows[0]?.['logout_at']);
    }
    const [row] = await postgres.query('SELECT logout_at FROM lingxi_periods WHERE user_id = $1', [leaving]);
    expect((row?.['logout_at'] as Date | undefined)?.getTime()).toBe(logout.body['logoutTime']);
    const fresh = freshUser();
    await eventually(async () => expect((await view.login(fresh)).status).toBe(200));
    // The database is asked each second.
    await eventually(async () => expect((await gateway.call('GET', '/readyz')).status).toBe(200));
    client.terminate();
  });

  it('is not ready while no period can open, and ready again without a restart', async () => {
    const ready = async () => (await gateway.call('GET', '/readyz')).status;
    await eventually(async () => expect(await ready()).toBe(200));
    await postgres.kill();
    await eventually(async () => expect(await ready()).toBe(503));
    await postgres.restart();
    await eventually(async () => expect(await ready()).toBe(200), { timeoutMs: 10_000 });
  });
});
