import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/ports.ts';
import { welcomeOf } from '../support/presence-view.ts';
import {
  eachOf,
  enter,
  figure,
  marksOf,
  type StorePair,
  settledPeriod,
  startPair,
} from '../support/store-pair.ts';
import { freshUser } from '../support/stores.ts';
import type { LossKind, Match } from '../support/tcp-proxy.ts';

const TIMEOUT_MS = 3_000;
const KINDS: readonly { readonly how: LossKind }[] = [{ how: 'breaks' }, { how: 'hangs' }];

const fresh = (count: number): readonly number[] => Array.from({ length: count }, freshUser);
const isCommit = (request: string): boolean => /commit/i.test(request);
/** The commit of a settlement, because the reconciler commits too. */
const commitOfSettlement: Match = (request, past) =>
  isCommit(request) && past.includes('settled_at = excluded');
/** The commit of the next opening, because the reconciler commits too. */
const commitOfOpening = (): ((request: string) => boolean) => {
  let isOpening = false;
  return (request) => {
    isOpening ||= request.includes('insert into lingxi_periods');
    return isOpening && isCommit(request);
  };
};

describe('settlements with faults of PostgreSQL', () => {
  let pair: StorePair;
  beforeAll(async () => {
    pair = await startPair({ timeoutMs: TIMEOUT_MS, env: { LINGXI_REDIS_TIMEOUT_MS: '5000' } });
    // Every change of a user's time, as a growth job would see it.
    await pair.postgres.query('CREATE TABLE changes (user_id bigint, at timestamptz)');
    await pair.postgres.query(
      `CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN INSERT INTO changes VALUES (NEW.id, NEW.last_spirit_gain_time); RETURN NULL; END $$`,
    );
    await pair.postgres.query(
      'CREATE TRIGGER note_change AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION note_change()',
    );
  });
  afterAll(() => pair?.stop());

  const changes = async (user: number): Promise<readonly number[]> => {
    const rows = await pair.postgres.query(
      'SELECT at FROM changes WHERE user_id = $1 AND at IS NOT NULL ORDER BY at',
      [user],
    );
    return rows.map((row) => (row['at'] as Date).getTime());
  };
  const userTime = async (user: number): Promise<number | undefined> => {
    const [row] = await pair.postgres.query('SELECT last_spirit_gain_time AS t FROM users WHERE id = $1', [
      user,
    ]);
    return (row?.['t'] as Date | null | undefined)?.getTime();
  };
  const setTime = (user: number, time: string | null) =>
    pair.postgres.query('UPDATE users SET last_spirit_gain_time = $2 WHERE id = $1', [user, time]);
  const pending = async () => Number(await pair.redis.cli('XLEN', 'lingxi:duties'));
  const allSettled = (timeoutMs: number) =>
    eventually(async () => expect(await pending()).toBe(0), { timeoutMs });
  const aside = (user: number, period: number) => pair.redis.cli('HGET', 'lingxi:aside', `${user}:${period}`);

  async function logout(user: number): Promise<number> {
    const { status, body } = await pair.node.logout(user);
    expect(status).toBe(200);
    return Number(body['logoutTime']);
  }

  async function expectSettledByLogout(user: number): Promise<void> {
    const row = await settledPeriod(pair, user);
    expect(row).toMatchObject({ reason: 'logout', userTime: row.logoutAt });
  }

  /** Waits until a statement of a gateway waits for a lock. */
  const gatewayWaits = () =>
    eventually(async () => {
      const waiting = await pair.postgres.query(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'lingxi' AND wait_event_type = 'Lock'",
      );
      expect(waiting).not.toEqual([]);
    });

  /** Whether new transactions are serializable, on every session. */
  async function setIsolation(level: 'serializable' | 'read committed'): Promise<void> {
    await pair.postgres.query(`ALTER SYSTEM SET default_transaction_isolation = '${level}'`);
    await pair.postgres.query('SELECT pg_reload_conf()');
    // The server tells all sessions at the same time. Each reads the file before its next statement.
    await eventually(async () =>
      expect(await pair.postgres.query('SHOW default_transaction_isolation')).toEqual([
        { default_transaction_isolation: level },
      ]),
    );
  }

  describe.each(KINDS)('the answer to COMMIT is lost, and the connection $how', ({ how }) => {
    it('[scenario 36] [ST2] of a settlement: settled once, and the time moved once', async () => {
      const user = freshUser();
      await pair.bun.login(user);
      const before = await changes(user);
      const lost = pair.postgresProxy.loseAnswer(commitOfSettlement, how);
      const logoutTime = await logout(user);
      await eventually(() => expect(lost.count()).toBe(1));
      const row = await settledPeriod(pair, user, 15_000);
      expect(row).toMatchObject({ logoutAt: logoutTime, userTime: logoutTime });
      await allSettled(10_000);
      expect(await changes(user)).toEqual([...before, logoutTime]);
    });

    it('[scenario 36] [ST4] [ST9] of an opening: one period remains, and the unconfirmed one is reconciled or dropped', async () => {
      const user = freshUser();
      const lost = pair.postgresProxy.loseAnswer(commitOfOpening(), how);
      const first = await pair.bun.login(user);
      expect(lost.count()).toBe(1);
      expect([first.status, first.body['code']]).toEqual([503, 'settlement-unavailable']);
      expect(await pair.bun.status(user)).not.toBe('online');
      await eventually(async () => expect((await pair.node.login(user)).status).toBe(200));
      const rows = await pair.periods(user);
      // The node drops an opening that it gave up. A login that comes sooner finds the row and reconciles it.
      const unconfirmed = rows.slice(0, -1);
      expect(unconfirmed.length).toBeLessThanOrEqual(1);
      for (const row of unconfirmed) {
        expect(row).toMatchObject({ reason: 'reconciled', settledAt: expect.any(Number) });
        expect(row.logoutAt).toBeLessThanOrEqual(rows.at(-1)?.loginAt ?? Number.NaN);
      }
      const logoutTime = await logout(user);
      await eventually(async () => expect((await pair.periods(user)).at(-1)?.logoutAt).toBe(logoutTime));
      expect(await userTime(user)).toBe(logoutTime);
      const times = await changes(user);
      expect(times).toEqual([...new Set(times)]);
    });
  });

  it('[scenario 37] [ST7] a rival that locks both rows, and a serialisation failure: retried until the settlements succeed', async () => {
    const [locked, raced] = fresh(2);
    if (locked === undefined || raced === undefined) return expect.fail('nobody');
    await Promise.all([pair.bun.login(locked), pair.bun.login(raced)]);
    const marks = await marksOf(pair);
    const failures = (code: RegExp) =>
      pair.both
        .flatMap((node, index) => node.logged('settlement-failed', marks[index]))
        .filter((line) => code.test(String(line['error'])));

    // The settlement locks the period and then the user. The rival locks them in the other order, and waits for no other lock.
    await pair.postgres.rival(async (query) => {
      await query('SELECT 1 FROM users WHERE id = $1 FOR UPDATE', [locked]);
      await logout(locked);
      await eventually(() => expect(failures(/locks rows of the users table/)).not.toEqual([]));
      await query("SET LOCAL lock_timeout = '1s'");
      await query('SELECT 1 FROM lingxi_periods WHERE user_id = $1 FOR UPDATE', [locked]);
      expect(await pair.periods(locked)).toMatchObject([{ settledAt: null }]);
    });
    await expectSettledByLogout(locked);

    await setIsolation('serializable');
    await pair.postgres.rival(async (query) => {
      await query('UPDATE lingxi_periods SET node = node WHERE user_id = $1', [raced]);
      await logout(raced);
      await gatewayWaits();
      await query('COMMIT');
    });
    await eventually(() => expect(failures(/could not serialize/)).not.toEqual([]));
    await expectSettledByLogout(raced);
    await setIsolation('read committed');
    await allSettled(15_000);
  });

  it('[scenario 39] [ST2] the user row is gone before the settlement: the period is closed, and the duty is acknowledged', async () => {
    const [byLogout, byTimeout] = fresh(2);
    const visitors = await enter(pair.bun, [byLogout ?? 0, byTimeout ?? 0]);
    const marks = await marksOf(pair);
    await pair.postgres.query('DELETE FROM users WHERE id = ANY($1)', [[byLogout, byTimeout]]);
    const logoutTime = await logout(byLogout ?? 0);
    visitors[1]?.client.terminate();
    expect(await settledPeriod(pair, byLogout ?? 0)).toMatchObject({ logoutAt: logoutTime, userTime: null });
    expect(await settledPeriod(pair, byTimeout ?? 0)).toMatchObject({ reason: 'timeout', userTime: null });
    await allSettled(15_000);
    for (const [index, node] of pair.both.entries()) {
      for (const event of ['settlement-set-aside', 'settlement-failed']) {
        expect(await node.loggedSoFar(event, marks[index])).toEqual([]);
      }
    }
    expect(await userTime(byLogout ?? 0)).toBeUndefined();
  });

  it('[scenario 40] [ST3] [ST7] one poison row among 500: the other 499 settle; its duty is a dead letter, reported and kept', async () => {
    const users = fresh(500);
    await eachOf(users, async (user) => expect((await pair.bun.login(user)).status).toBe(200));
    const poison = users[250] ?? 0;
    const [{ period } = { period: 0 }] = await pair.periods(poison);
    await pair.postgres.query(`ALTER TABLE users ADD CONSTRAINT poison
      CHECK (id <> ${poison} OR last_spirit_gain_time < now() - interval '1 day') NOT VALID`);
    const marks = await marksOf(pair);
    // The settlements are held back, so that all 500 wait for one transaction.
    await pair.postgres.rival(async (query) => {
      await query('LOCK TABLE lingxi_periods IN EXCLUSIVE MODE');
      await eachOf(users, logout);
    });
    const from = performance.now();
    await allSettled(15_000);
    figure(
      `499 of 500 settled and one left for later ${Math.round(performance.now() - from)} ms after PostgreSQL released the lock`,
    );
    const [counts] = await pair.postgres.query(
      `SELECT count(*) FILTER (WHERE p.settled_at IS NOT NULL AND u.last_spirit_gain_time = p.logout_at)::int AS done
       FROM lingxi_periods p JOIN users u ON u.id = p.user_id WHERE p.user_id = ANY($1)`,
      [users],
    );
    expect(counts).toEqual({ done: 499 });
    const alerts = () =>
      pair.both.flatMap((node, index) => node.logged('settlement-set-aside', marks[index]));
    await eventually(() =>
      expect(alerts()).toMatchObject([
        { level: 'error', userId: poison, period, error: expect.stringContaining('poison') },
      ]),
    );
    expect(JSON.parse(await aside(poison, period))).toMatchObject({
      userId: poison,
      period,
      reason: 'logout',
    });
    expect(await pair.periods(poison)).toMatchObject([{ period, settledAt: null }]);

    // The duty is kept: once the cause is fixed, the next login of the user settles the open period.
    await pair.postgres.query('ALTER TABLE users DROP CONSTRAINT poison');
    const { body } = await pair.node.login(poison);
    expect(body).toMatchObject({ playerId: String(poison) });
    const rows = await pair.periods(poison);
    expect(rows[0]).toMatchObject({ period, settledAt: expect.any(Number) });
    await logout(poison);
  });

  it('[scenario 42] [ST2] settlements out of order: time never moves back', async () => {
    const user = freshUser();
    const base = Date.now() - 3_600_000;
    const duty = (period: number, logoutAt: number) =>
      pair.redis.cli(
        ...['XADD', 'lingxi:duties', '*', 'd'],
        [user, period, period, logoutAt, logoutAt, 'logout', 'gone-node'].join('|'),
      );
    await setTime(user, null);
    await duty(base + 20_000, base + 30_000);
    await allSettled(15_000);
    expect(await userTime(user)).toBe(base + 30_000);
    await duty(base, base + 10_000);
    await duty(base + 20_000, base + 25_000);
    await allSettled(15_000);
    expect(await userTime(user)).toBe(base + 30_000);
    expect(await pair.periods(user)).toMatchObject([
      { period: base, logoutAt: base + 10_000 },
      { period: base + 20_000, logoutAt: base + 30_000 },
    ]);
    expect(await changes(user)).toEqual([base + 30_000]);
  });

  it('[scenario 42] [ST2] [ST9] a time ahead of the logout stays; NULL and the year 1 count as never', async () => {
    const [ahead, never, yearOne] = fresh(3);
    if (ahead === undefined || never === undefined || yearOne === undefined) return expect.fail('nobody');
    await setTime(yearOne, '0001-01-01 00:00:00+00');
    const visitors = await enter(pair.node, [ahead, never, yearOne]);
    for (const { user, client, welcome } of visitors) {
      expect(await userTime(user)).toBe(welcome.period);
      expect(client.socket.readyState).toBe(client.socket.OPEN);
    }
    const future = new Date(Date.now() + 3_600_000);
    await setTime(ahead, future.toISOString());
    await setTime(never, null);
    await setTime(yearOne, '0001-01-01 00:00:00+00');
    for (const { user } of visitors) {
      const logoutTime = await logout(user);
      expect(await settledPeriod(pair, user)).toMatchObject({
        logoutAt: logoutTime,
        userTime: user === ahead ? future.getTime() : logoutTime,
      });
    }
    // The next login does not move the time back either.
    const again = await pair.bun.v1(ahead);
    await welcomeOf(again);
    expect(await userTime(ahead)).toBe(future.getTime());
    again.terminate();
  });
});
