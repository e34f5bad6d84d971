import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually } from '../support/ports.ts';
import { type PostgresServer, startPostgres } from '../support/services.ts';
import { type Client, connect, refusal } from '../support/ws-client.ts';

/** A busy machine takes a second or two for forty logins. */
const SQL_TIMEOUT_MS = 4000;
const LOCKED = 3;
const RUNTIMES = ['bun', 'node'] as const;

describe.concurrent.each(RUNTIMES)('while another program locks rows of users, %s', (runtime) => {
  let postgres: PostgresServer;
  let gateway: Gateway;
  const clients: Client[] = [];
  beforeAll(async () => {
    postgres = await startPostgres();
    await postgres.query('CREATE TABLE users (id integer PRIMARY KEY, last_spirit_gain_time timestamptz)');
    await postgres.query('INSERT INTO users (id) SELECT generate_series(1, 100)');
    const env = { DATABASE_URL: postgres.url, LINGXI_SQL_TIMEOUT_MS: String(SQL_TIMEOUT_MS) };
    gateway = await startGateway({ runtime, stores: 'embedded', env });
  });
  afterAll(async () => {
    for (const client of clients) client.terminate();
    await gateway?.stop();
    await postgres?.stop();
  });

  const enter = async (user: number): Promise<void> => {
    clients.push(await connect(gateway.wsUrl, { token: gateway.token(user), protocols: ['lingxi.v1'] }));
  };
  const enterAll = (first: number, last: number, except = 0) =>
    Promise.all(
      Array.from({ length: last - first + 1 }, (_, index) => first + index)
        .filter((user) => user !== except)
        .map(enter),
    );
  const dial = async (user: number) => {
    const { status, body } = await refusal(gateway.wsUrl, { token: gateway.token(user) });
    return [status, body['code']];
  };
  const periodsOf = (user: number) =>
    postgres.query('SELECT logout_at, reason FROM lingxi_periods WHERE user_id = $1', [user]);

  it.sequential('[ST9] refuses only the users of these rows, and the others do not wait', async () => {
    await postgres.rival(async (query) => {
      await query('SELECT id FROM users WHERE id = $1 FOR UPDATE', [LOCKED]);
      const began = performance.now();
      const refused = dial(LOCKED).then((answer) => ({ answer, afterMs: performance.now() - began }));
      await enterAll(1, 20, LOCKED);
      await enterAll(21, 40);
      const enteredMs = performance.now() - began;
      const { answer, afterMs } = await refused;
      expect(answer).toEqual([503, 'settlement-unavailable']);
      expect(afterMs).toBeGreaterThanOrEqual(SQL_TIMEOUT_MS - 100);
      expect(enteredMs).toBeLessThan(SQL_TIMEOUT_MS);
    });
    // If SQL writes the row after all, the node removes it.
    await eventually(async () => expect(await periodsOf(LOCKED)).toEqual([]));
  });

  it.sequential('[ST9] accepts a user as soon as the lock is released, if that is in time', async () => {
    await postgres.rival(async (query) => {
      await query('UPDATE users SET last_spirit_gain_time = now() WHERE id BETWEEN 41 AND 60');
      await Promise.all([enterAll(41, 60), enterAll(61, 62).then(() => query('COMMIT'))]);
    });
    expect(await periodsOf(41)).toEqual([{ logout_at: null, reason: null }]);
  });

  it.sequential('[ST6] [ST7] delays only the logout of that user, and all others log in again at once', async () => {
    const [first, last, locked] = [81, 99, 99];
    const users = Array.from({ length: last - first + 1 }, (_, index) => first + index);
    const others = users.filter((user) => user !== locked);
    const settled = async () =>
      (
        await postgres.query(
          'SELECT user_id::int AS id FROM lingxi_periods WHERE user_id BETWEEN $1 AND $2 AND settled_at IS NOT NULL ORDER BY 1',
          [first, last],
        )
      ).map(({ id }) => id);
    await enterAll(first, last);
    await postgres.rival(async (query) => {
      await query('SELECT id FROM users WHERE id = $1 FOR UPDATE', [locked]);
      for (const user of users) {
        const path = `/api/users/${user}/disconnect`;
        void gateway.service('POST', path);
      }
      await eventually(async () => expect(await settled()).toEqual(others));
      await enterAll(first, last, locked);
      expect(await settled()).toEqual(others);
    });
    await eventually(async () => expect(await settled()).toEqual(users));
    const [row] = await periodsOf(locked);
    expect(row).toMatchObject({ reason: 'kick' });
  });

  it.sequential('[ST4] keeps no row of a login that was refused before its row was committed', async () => {
    const [early, late] = [71, 72];
    await postgres.rival(async (query) => {
      // Reading is possible, but no transaction can write a period. The second login is in a transaction that begins late.
      await query('LOCK TABLE lingxi_periods IN EXCLUSIVE MODE');
      const first = dial(early);
      await eventually(async () => {
        const waiting = await postgres.query(
          `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND now() - query_start > interval '0.5 s'`,
        );
        expect(waiting).not.toEqual([]);
      });
      const second = dial(late);
      expect(await first).toEqual([503, 'settlement-unavailable']);
      expect(await second).toEqual([503, 'settlement-unavailable']);
    });
    const resetAt = () =>
      postgres.query('SELECT 1 FROM users WHERE id = $1 AND last_spirit_gain_time IS NOT NULL', [late]);
    await eventually(async () => expect(await resetAt()).not.toEqual([]));
    await eventually(async () => expect(await periodsOf(late)).toEqual([]));
    await enter(late);
    expect(await periodsOf(late)).toEqual([{ logout_at: null, reason: null }]);
  });
});
