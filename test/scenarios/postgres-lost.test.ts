import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, sleep } from '../support/ports.ts';
import {
  eachOf,
  enterBoth,
  figure,
  leaveAll,
  marksOf,
  missingOf,
  type StorePair,
  settledPeriod,
  startPair,
  type Visitor,
  waitForReadiness,
} from '../support/store-pair.ts';
import { freshUser } from '../support/stores.ts';

const TIMEOUT_MS = 2_500;
/** On two busy cores, a timeout may be detected this late, and its logout answered this late. */
const PROMPT_MS = 2_000;
/** A logout that waited for SQL would take this long. */
const SQL_TIMEOUT_MS = 4_000;

const fresh = (count: number): readonly number[] => Array.from({ length: count }, freshUser);

const OPTIONS = {
  timeoutMs: TIMEOUT_MS,
  role: 'game',
  env: {
    LINGXI_SQL_POOL: '1',
    LINGXI_SQL_TIMEOUT_MS: String(SQL_TIMEOUT_MS),
    LINGXI_REDIS_TIMEOUT_MS: '5000',
  },
};

const drained = (pair: StorePair) =>
  eventually(async () => expect(await pair.redis.cli('XLEN', 'lingxi:duties')).toBe('0'), {
    timeoutMs: 15_000,
    intervalMs: 50,
  });

/** Joins, logouts and timeouts as without a fault. Calls that need SQL are refused, not half done (rule ST9). */
async function expectPresenceUnaffected(
  pair: StorePair,
  staying: readonly Visitor[],
): Promise<readonly number[]> {
  const [leaving, silent, joining] = staying;
  if (leaving === undefined || silent === undefined || joining === undefined) return expect.fail('nobody');
  const from = performance.now();
  expect((await pair.bun.logout(leaving.user)).status).toBe(200);
  expect((await leaving.client.closed).code).toBe(4000);
  expect(performance.now() - from).toBeLessThan(PROMPT_MS);
  silent.silence();
  const silentFrom = performance.now();
  const closed = await silent.client.closed;
  expect(closed.code).toBe(4100);
  expect(closed.at - silentFrom).toBeLessThan(TIMEOUT_MS + PROMPT_MS);
  await eventually(async () => expect(await pair.bun.status(silent.user)).toBe('offline'), {
    timeoutMs: PROMPT_MS,
  });
  await Promise.all(
    pair.both.map(async (node) => {
      expect((await node.gateway.call('GET', '/healthz')).status).toBe(200);
      // Joining an open period needs no SQL, on any node.
      expect((await node.login(joining.user)).status).toBe(200);
      const refused = await node.login(freshUser());
      expect([refused.status, refused.body['code']]).toEqual([503, 'settlement-unavailable']);
    }),
  );
  expect(await missingOf(pair.redis, staying.slice(2))).toEqual([]);
  return [leaving.user, silent.user];
}

async function expectHealed(pair: StorePair, ended: readonly number[]): Promise<void> {
  await drained(pair);
  for (const user of ended) {
    const row = await settledPeriod(pair, user);
    expect(row.userTime).toBe(row.logoutAt);
  }
  await waitForReadiness(pair, 200, 8_000);
}

/** The gateways must open new connections. */
const dropConnections = (pair: StorePair) =>
  pair.postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'game'");

// Each pair waits for its own PostgreSQL, so they wait side by side.
describe.concurrent('a PostgreSQL that is down, or accepts no connections', () => {
  let pair: StorePair;
  beforeAll(async () => {
    pair = await startPair(OPTIONS);
  });
  afterAll(() => pair?.stop());

  it.sequential('[scenario 35] [ST7] down for many retries: hundreds of duties are kept, grow old, and are settled at once', async () => {
    const visitors = await enterBoth(pair, fresh(8));
    const leaving = await enterBoth(pair, fresh(200));
    await pair.postgres.kill();
    const downAt = performance.now();
    const told = new Map<number, unknown>();
    await eachOf(leaving, async ({ user }) => {
      const { status, body } = await pair.bun.gateway.service('POST', '/api/online/logout', {
        playerId: user,
      });
      expect(status).toBe(200);
      told.set(user, body['logoutTime']);
    });
    const ended = await expectPresenceUnaffected(pair, visitors);
    await eventually(async () =>
      expect(await pair.node.metric('lingxi_settlements_pending')).toBe(leaving.length + ended.length),
    );
    const young = await pair.node.metric('lingxi_settlement_oldest_age_seconds');
    await sleep(Math.max(3_000, 4_500 - (performance.now() - downAt)));
    const old = await pair.node.metric('lingxi_settlement_oldest_age_seconds');
    expect(old).toBeGreaterThan(young + 1.5);
    expect(await pair.node.metric('lingxi_settlements_pending')).toBe(leaving.length + ended.length);
    const attempts = () =>
      pair.both.flatMap((node) =>
        // Logins that SQL refused have the same log event, but no attempt.
        node
          .logged('settlement-failed')
          .flatMap(({ attempt }) => (typeof attempt === 'number' ? [attempt] : [])),
      );
    await eventually(() => expect(Math.max(...attempts())).toBeGreaterThanOrEqual(3));

    await pair.postgres.restart();
    const from = performance.now();
    await drained(pair);
    const drainMs = Math.round(performance.now() - from);
    figure(
      `${leaving.length + ended.length} duties, the oldest ${old.toFixed(1)} s, drained ${drainMs} ms after the return`,
    );
    for (const [user, logoutTime] of told) expect((await pair.periods(user))[0]?.logoutAt).toBe(logoutTime);
    await expectHealed(pair, [...told.keys(), ...ended]);
    leaveAll(visitors);
  });

  it.sequential('[scenario 38] [ST7] PostgreSQL accepts no more connections: presence is unaffected', async () => {
    const visitors = await enterBoth(pair, fresh(8));
    await pair.postgres.query('ALTER ROLE game CONNECTION LIMIT 0');
    await dropConnections(pair);
    const ended = await expectPresenceUnaffected(pair, visitors);
    await pair.postgres.query('ALTER ROLE game CONNECTION LIMIT -1');
    await expectHealed(pair, ended);
    leaveAll(visitors);
  });
});

describe.concurrent('a PostgreSQL that is locked, or accepts no writes', () => {
  let pair: StorePair;
  beforeAll(async () => {
    pair = await startPair(OPTIONS);
  });
  afterAll(() => pair?.stop());

  it.sequential('[scenario 38] [ST7] the pool of one is stuck behind a lock: presence is unaffected', async () => {
    const visitors = await enterBoth(pair, fresh(8));
    let ended: readonly number[] = [];
    await pair.postgres.rival(async (query) => {
      await query('LOCK TABLE lingxi_periods, users IN ACCESS EXCLUSIVE MODE');
      ended = await expectPresenceUnaffected(pair, visitors);
    });
    await expectHealed(pair, ended);
    leaveAll(visitors);
  });

  it.sequential('[scenario 41] [ST7] a failover to a read-only server: backoff, then back to normal', async () => {
    const visitors = await enterBoth(pair, fresh(8));
    const marks = await marksOf(pair);
    await pair.postgres.query('ALTER DATABASE postgres SET default_transaction_read_only = on');
    await dropConnections(pair);
    const from = performance.now();
    const ended = await expectPresenceUnaffected(pair, visitors);
    await sleep(Math.max(0, 4_000 - (performance.now() - from)));
    const failed = pair.both.map((node, index) => node.loggedSoFar('settlement-failed', marks[index]));
    const failures = (await Promise.all(failed)).flat();
    const readOnly = () =>
      pair.both
        .flatMap((node, index) => node.logged('settlement-failed', marks[index]))
        .filter((line) => /read-only/.test(String(line['error'])));
    await eventually(() => expect(readOnly().length).toBeGreaterThanOrEqual(2));
    // Full jitter below 0.1, 0.2 … 5 s: about ten attempts in 4 s for each batch in progress, not hundreds.
    expect(failures.length).toBeLessThan(60);
    for (const node of pair.both) expect(await node.loggedSoFar('settlement-set-aside')).toEqual([]);
    figure(`${failures.length} failed tries of two nodes in 4 s on a read-only PostgreSQL`);
    await pair.postgres.rival(async (query) => {
      await query('SET TRANSACTION READ WRITE');
      await query('ALTER DATABASE postgres RESET default_transaction_read_only');
      await query('COMMIT');
    });
    await dropConnections(pair);
    await expectHealed(pair, ended);
    leaveAll(visitors);
  });
});
