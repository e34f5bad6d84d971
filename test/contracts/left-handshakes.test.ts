import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { readMetrics } from '../support/metrics.ts';
import { eventually } from '../support/ports.ts';
import { handshake, openRaw } from '../support/raw-socket.ts';
import { type PostgresServer, startPostgres } from '../support/services.ts';

const SQL_TIMEOUT_MS = 5000;

describe.each(['bun', 'node'] as const)('a client that leaves in its handshake, %s', (runtime) => {
  let postgres: PostgresServer;
  let gateway: Gateway;
  beforeAll(async () => {
    postgres = await startPostgres();
    await postgres.query('CREATE TABLE users (id integer PRIMARY KEY, last_spirit_gain_time timestamptz)');
    await postgres.query('INSERT INTO users (id) SELECT generate_series(1, 100)');
    const env = { DATABASE_URL: postgres.url, LINGXI_SQL_TIMEOUT_MS: String(SQL_TIMEOUT_MS) };
    gateway = await startGateway({ runtime, stores: 'embedded', env });
  });
  afterAll(async () => {
    await gateway?.stop();
    await postgres?.stop();
  });

  const logins = () =>
    postgres.query(
      `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%lingxi_periods%'`,
    );

  it('counts as one that left, not as refused', async () => {
    const before = await readMetrics(gateway);
    await postgres.rival(async (query) => {
      // The look at the user waits for this lock.
      await query('LOCK TABLE lingxi_periods');
      const raw = openRaw(gateway.port(), handshake('/ws', gateway.token(1)));
      await eventually(async () => expect(await logins()).not.toEqual([]));
      raw.destroy();
      // It is gone for the gateway, too, once a later request is answered.
      await gateway.service('GET', '/metrics');
    });
    await eventually(async () => {
      const after = await readMetrics(gateway);
      expect(after('lingxi_handshakes_left_total') - before('lingxi_handshakes_left_total')).toBe(1);
    });
    const after = await readMetrics(gateway);
    expect(after('lingxi_refused_total{code="presence-unavailable"}')).toBeNaN();
    expect(after('lingxi_logins_total')).toBe(before('lingxi_logins_total'));
    expect(gateway.logs().filter(({ event }) => event === 'refused')).toEqual([]);
    const status = await gateway.service('POST', '/api/online/status', { userIds: [1] });
    expect(status.body['results']).toMatchObject([{ status: 'offline' }]);
  });
});
