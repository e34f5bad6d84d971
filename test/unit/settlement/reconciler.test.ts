import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { silentLog } from '../../../src/logging/log.ts';
import type { Duty, PeriodRow } from '../../../src/protocol/periods.ts';
import { Reconciler } from '../../../src/settlement/reconciler.ts';
import type { UserStore } from '../../../src/settlement/user-store.ts';
import { opening, openStore, sqliteDatabase, type TestDatabase } from '../../support/user-stores.ts';

const TIMEOUT_MS = 10_000;
const DAY_MS = 86_400_000;
const NEVER = Number.POSITIVE_INFINITY;

describe('Reconciler', () => {
  let clock: FakeClock;
  let database: TestDatabase;
  let store: UserStore;
  let reconciler: Reconciler;
  let settled: Duty[];
  let burst: boolean;
  /** Whether another node has the reconciler's lock. */
  let isLocked: boolean;
  /** Users whose periods presence knows; `undefined`: it does not answer. */
  let known: Set<number> | undefined;
  let start: number;

  beforeEach(async () => {
    clock = new FakeClock();
    start = clock.now();
    database = sqliteDatabase();
    store = await openStore({ ...database.options, unknownUsers: 'create' });
    known = new Set();
    settled = [];
    burst = false;
    isLocked = false;
    const lock = store.withReconcilerLock.bind(store);
    store.withReconcilerLock = (work) => (isLocked ? Promise.resolve(false) : lock(work));
    reconciler = new Reconciler({
      store,
      presenceKnows: (rows) =>
        known === undefined
          ? Promise.reject(new Error('presence is away'))
          : Promise.resolve(rows.map(({ userId }) => known?.has(userId) === true)),
      hasBurst: () => burst,
      clock,
      log: silentLog,
      node: 'me#2',
      heartbeatTimeoutMs: TIMEOUT_MS,
      periodsRetentionDays: 90,
      onSettled: (duties) => void settled.push(...duties),
    });
  });
  afterEach(async () => {
    await reconciler.stop();
    await store.close();
    await database.remove();
  });

  const reconcile = async (row: PeriodRow): Promise<Duty> => {
    const reconciled = reconciler.reconcileNow(row, NEVER);
    await clock.advanceAsync(1);
    return reconciled;
  };

  const open = (userId: number, loginAt: number, node = 'dead#1'): Promise<void> =>
    store.open([opening({ userId, period: loginAt, loginAt, node })]);

  test('[ST4] an open row is settled once presence has not known it for 12 s, no earlier', async () => {
    await open(1, start - 60_000);
    await open(2, start - 60_000);
    known = new Set([2]);
    await reconciler.start();
    await clock.advanceAsync(16_000, 100);
    expect(settled).toEqual([]);
    await clock.advanceAsync(5000, 100);
    expect(settled).toMatchObject([{ userId: 1, reason: 'reconciled' }]);
    expect((await store.openPeriods({ limit: 10 })).map(({ userId }) => userId)).toEqual([2]);
    await clock.advanceAsync(30_000, 100);
    expect(settled).toHaveLength(1);
  });

  test('[ST4] a row that presence knew while another node had the lock is not settled at the first check', async () => {
    await open(1, start - 60_000);
    await reconciler.start();
    await clock.advanceAsync(6000, 100);
    isLocked = true;
    known = new Set([1]);
    await clock.advanceAsync(20_000, 100);
    isLocked = false;
    known = new Set();
    await clock.advanceAsync(5000, 100);
    expect(settled).toEqual([]);
    await clock.advanceAsync(10_000, 100);
    expect(settled).toMatchObject([{ userId: 1, reason: 'reconciled' }]);
  });

  test("[ST5] the logout time is the node's last sign of life plus the timeout, not before the login, not after now", async () => {
    await store.noteNodeAlive('dead#1', start - 40_000);
    await open(1, start - 60_000);
    await open(2, start - 60_000, 'never-seen#1');
    await open(3, start - 20_000);
    await open(4, start - 60_000, 'living#1');
    await reconciler.start();
    for (let second = 0; second < 21; second += 1) {
      await clock.advanceAsync(1000, 100);
      await store.noteNodeAlive('living#1', clock.now());
    }
    const logouts = new Map(settled.map(({ userId, logoutAt }) => [userId, logoutAt - start]));
    expect(logouts.get(1)).toBe(-30_000);
    expect(logouts.get(2)).toBe(-50_000);
    expect(logouts.get(3)).toBe(-10_000);
    expect(logouts.get(4)).toBeGreaterThanOrEqual(15_000);
    expect(logouts.get(4)).toBeLessThanOrEqual(21_000);
    expect(await database.userTime(1)).toBe(start - 30_000);
    expect((await store.newestPeriods([1])).get(1)?.lastSeenAt).toBe(start - 40_000);
  });

  test("[ST4] the logout time is never later than the user's next login", async () => {
    await store.noteNodeAlive('dead#1', start - 10_000);
    await open(1, start - 60_000);
    await open(1, start - 15_000, 'me#2');
    const row = (await store.openPeriods({ limit: 1 }))[0];
    if (row === undefined) throw new Error('no open row');
    await reconcile(row);
    const rows = await database.rows(
      `select logout_at as at from lingxi_periods where period = ${start - 60_000}`,
    );
    expect(rows[0]?.['at']).toBe(start - 15_000);
    expect(await database.userTime(1)).toBe(start - 15_000);
  });

  test('[ST4] while presence does not answer nothing is settled, and the 12 s begin again afterwards', async () => {
    await open(1, start - 60_000);
    await reconciler.start();
    await clock.advanceAsync(6000, 100);
    known = undefined;
    await clock.advanceAsync(60_000, 100);
    expect(settled).toEqual([]);
    known = new Set([1]);
    await clock.advanceAsync(6000, 100);
    known = new Set();
    await clock.advanceAsync(14_000, 100);
    expect(settled).toEqual([]);
    await clock.advanceAsync(8000, 100);
    expect(settled).toHaveLength(1);
  });

  test('[ST4] if presence knew a row in between, the 12 s begin again', async () => {
    await open(1, start - 60_000);
    await reconciler.start();
    await clock.advanceAsync(11_000, 100);
    known = new Set([1]);
    await clock.advanceAsync(5_000, 100);
    known = new Set();
    // Its first 11 s, and those since, are more than 12 together.
    await clock.advanceAsync(10_000, 100);
    expect(settled).toEqual([]);
    await clock.advanceAsync(10_000, 100);
    expect(settled).toMatchObject([{ userId: 1, reason: 'reconciled' }]);
  });

  test('[ST4] a pass waits behind a burst of logouts, but not forever', async () => {
    await open(1, start - 60_000);
    await reconciler.start();
    await clock.advanceAsync(16_000, 100);
    burst = true;
    // The pass at 20 s waits for 2 s.
    await clock.advanceAsync(5900, 100);
    expect(settled).toEqual([]);
    await clock.advanceAsync(1100, 100);
    expect(settled).toHaveLength(1);
  });

  test('[ST4] time in which presence does not answer does not count', async () => {
    await open(1, start - 60_000);
    await reconciler.start();
    await clock.advanceAsync(6000, 100);
    known = undefined;
    await clock.advanceAsync(20_000, 100);
    known = new Set();
    await clock.advanceAsync(10_000, 100);
    expect(settled).toEqual([]);
    await clock.advanceAsync(12_000, 100);
    expect(settled).toHaveLength(1);
  });

  test('[ST4] time in which this node could not ask does not count', async () => {
    await open(1, start - 60_000);
    await reconciler.start();
    await clock.advanceAsync(6000, 100);
    clock.stall(20_000);
    await clock.advanceAsync(10_000, 100);
    expect(settled).toEqual([]);
    await clock.advanceAsync(12_000, 100);
    expect(settled).toHaveLength(1);
  });

  test('[ST4] if another node holds the lock, this one does nothing', async () => {
    await open(1, start - 60_000);
    let release: () => void = () => undefined;
    const other = store.withReconcilerLock(
      () =>
        new Promise((resolve) => {
          release = resolve;
        }),
    );
    await reconciler.start();
    await clock.advanceAsync(40_000, 100);
    expect(settled).toEqual([]);
    release();
    await other;
    await clock.advanceAsync(21_000, 100);
    expect(settled).toHaveLength(1);
  });

  test('[ST4] the reconciler checks more open rows than one page', async () => {
    const ids = Array.from({ length: 1234 }, (_, n) => n + 1);
    await store.open(
      ids.map((userId) => opening({ userId, period: start - 60_000, loginAt: start - 60_000 })),
    );
    known = new Set(ids.filter((id) => id % 100 !== 0));
    await reconciler.start();
    await clock.advanceAsync(23_000, 100);
    expect(settled.map(({ userId }) => userId)).toEqual([
      100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100, 1200,
    ]);
  });

  test('[ST4] a row that can never be settled stays open and delays no other', async () => {
    await open(1, start - 60_000);
    await open(13, start - 60_000);
    await database.run(
      `create trigger poison before update on users when new.id = 13 begin select raise(abort, 'poison'); end`,
    );
    await reconciler.start();
    await clock.advanceAsync(30_000, 100);
    expect(settled.map(({ userId }) => userId)).toEqual([1]);
    expect((await store.openPeriods({ limit: 10 })).map(({ userId }) => userId)).toEqual([13]);
  });

  test('[ST5] the node records its sign of life at start and every 5 s', async () => {
    await reconciler.start();
    expect((await store.nodeLives(['me#2'])).get('me#2')).toBe(start);
    await clock.advanceAsync(11_000, 100);
    expect((await store.nodeLives(['me#2'])).get('me#2')).toBe(start + 10_000);
  });

  test('closed periods past their retention are deleted', async () => {
    await open(1, start - 100 * DAY_MS);
    await open(2, start - 80 * DAY_MS);
    const [old, young] = await store.openPeriods({ limit: 2 });
    if (old === undefined || young === undefined) throw new Error('no open rows');
    await reconcile(old);
    await reconcile(young);
    await reconciler.start();
    await clock.advanceAsync(6000, 100);
    expect([...(await store.newestPeriods([1, 2])).keys()]).toEqual([2]);
  });
});
