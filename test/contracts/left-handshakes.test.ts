import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { readMetrics } from '../support/metrics.ts';
import { eventually } from '../support/ports.ts';
import { handshake, openRaw, type RawSocket } from '../support/raw-socket.ts';
import { type PostgresServer, startPostgres } from '../support/services.ts';

const SQL_TIMEOUT_MS = 10_000;

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

  it.each(['both directions', 'its own direction'])(
    'counts as left, not as refused: it ends %s',
    async (what) => {
      const isHalf = what === 'its own direction';
      const before = await readMetrics(gateway);
      let raw: RawSocket | undefined;
      await postgres.rival(async (query) => {
        // The look-up of the user waits for this lock.
        await query('LOCK TABLE lingxi_periods');
        raw = openRaw(gateway.port(), handshake('/ws', gateway.token(1)));
        await eventually(async () => expect(await logins()).not.toEqual([]));
        if (isHalf) raw.socket.end();
        else raw.destroy();
        // Once later requests are answered, the gateway has noticed the end too.
        for (let asked = 0; asked < 3; asked += 1) await gateway.service('GET', '/metrics');
      });
      await eventually(async () => {
        const after = await readMetrics(gateway);
        expect(after('lingxi_handshakes_left_total') - before('lingxi_handshakes_left_total')).toBe(1);
      });
      await raw?.ended;
      const answer = raw?.received().toString('latin1').split(' ', 2).join(' ');
      expect(answer).toBe(isHalf && runtime === 'node' ? 'HTTP/1.1 503' : '');
      const after = await readMetrics(gateway);
      expect(after('lingxi_refused_total{code="presence-unavailable"}')).toBeNaN();
      expect(after('lingxi_logins_total')).toBe(before('lingxi_logins_total'));
      expect((await gateway.logsSoFar()).filter(({ event }) => event === 'refused')).toEqual([]);
      const status = await gateway.service('POST', '/api/online/status', { userIds: [1] });
      expect(status.body['results']).toMatchObject([{ status: 'offline' }]);
    },
  );
});
