import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { silentLog } from '../../../src/logging/log.ts';
import type { Duty, PeriodRow } from '../../../src/protocol/periods.ts';
import { Reconciler, type ReconcilerOptions } from '../../../src/settlement/reconciler.ts';
import { UsersLocked } from '../../../src/settlement/user-store.ts';

const ROW: PeriodRow = {
  ...{ userId: 1, period: 10, loginAt: 10, node: 'dead#1' },
  ...{ lastSeenAt: null, logoutAt: null, reason: null, settledAt: null },
};

/** A reconciler whose SQL the test controls, with the calls that it got. */
function room(changed: Partial<ReconcilerOptions['store']> = {}) {
  const clock = new FakeClock();
  const asked: string[] = [];
  const settled: number[] = [];
  const store: ReconcilerOptions['store'] = {
    lookup: () => Promise.resolve([]),
    openPeriods: () => Promise.resolve([]),
    settle: () => Promise.resolve(),
    nodeLives: () => Promise.resolve(new Map()),
    noteNodeAlive: () => Promise.resolve(void asked.push('life')),
    withReconcilerLock: (work) => work().then(() => true),
    prunePeriods: () => Promise.resolve(0),
    ...changed,
  };
  const reconciler = new Reconciler({
    ...{ store, clock, log: silentLog, node: 'me#2', heartbeatTimeoutMs: 10_000, periodsRetentionDays: 90 },
    presenceKnows: (rows) => Promise.resolve(rows.map(() => false)),
    hasBurst: () => false,
    onSettled: (duties) => void settled.push(...duties.map(({ userId }) => userId)),
  });
  return { clock, asked, settled, reconciler };
}

describe('Reconciler', () => {
  test('[ST5] has begun once the first sign of life was written: what opens then can be settled by it', async () => {
    let write = (): void => undefined;
    const { reconciler } = room({
      noteNodeAlive: () =>
        new Promise((resolve) => {
          write = resolve;
        }),
    });
    let started = false;
    const start = reconciler.start().then(() => {
      started = true;
    });
    await new Promise(setImmediate);
    expect(started).toBe(false);
    write();
    await start;
    expect(started).toBe(true);
  });

  test('[ST4] reports to a login that SQL refuses its earlier period permanently, and does not report it as settled', async () => {
    const refusal = Object.assign(new Error('check constraint'), { code: '23514' });
    const { clock, reconciler, settled } = room({ settle: () => Promise.reject(refusal) });
    const refused = reconciler.reconcileNow(ROW, 20).catch(String);
    await clock.advanceAsync(1);
    expect(await refused).toContain('does not settle');
    expect(settled).toEqual([]);
  });

  test('[ST4] a login gets an error while SQL is away, and later finds the same period', async () => {
    let down = true;
    const { clock, reconciler, settled } = room({
      settle: () => (down ? Promise.reject(new Error('connection lost')) : Promise.resolve()),
    });
    const lost = reconciler.reconcileNow(ROW, 20).catch(String);
    await clock.advanceAsync(1);
    expect(await lost).toContain('connection lost');
    down = false;
    const reconciled = reconciler.reconcileNow(ROW, 20);
    await clock.advanceAsync(1);
    expect(await reconciled).toMatchObject({ reason: 'reconciled', userId: 1 });
    expect(settled).toEqual([1]);
  });

  test('[ST4] does not report a period as settled if its logout came first', async () => {
    const { clock, reconciler, settled } = room({
      lookup: () =>
        Promise.resolve([
          {
            ...{ userId: 1, exists: true, canExist: true },
            newest: { ...ROW, logoutAt: 15, reason: 'logout', settledAt: 16 },
          },
        ]),
    });
    const reconciled = reconciler.reconcileNow(ROW, 20);
    await clock.advanceAsync(1);
    expect(await reconciled).toMatchObject({ userId: 1 });
    expect(settled).toEqual([]);
  });

  test('[ST4] leaves a row that another program locks to a later pass', async () => {
    let isLocked = true;
    const { clock, reconciler, settled } = room({
      settle: () =>
        isLocked ? Promise.reject(new UsersLocked(new Set([1]), new Error('locked'))) : Promise.resolve(),
    });
    const refused = reconciler.reconcileNow(ROW, 20).catch(String);
    await clock.advanceAsync(1);
    expect(await refused).toContain('does not settle');
    expect(settled).toEqual([]);
    isLocked = false;
    const reconciled = reconciler.reconcileNow(ROW, 20);
    await clock.advanceAsync(1);
    expect(await reconciled).toMatchObject({ userId: 1 });
    expect(settled).toEqual([1]);
  });

  test('[ST4] the open rows that a storm of logins finds are settled together, each before its own login', async () => {
    const batches: (readonly Duty[])[] = [];
    const { clock, reconciler } = room({
      settle: (duties) => Promise.resolve(void batches.push(duties)),
      nodeLives: () => Promise.resolve(new Map([['dead#1', 1_000_000]])),
    });
    const reconciled = Promise.all(
      [1, 2, 3].map((userId) => reconciler.reconcileNow({ ...ROW, userId }, 20 + userId)),
    );
    await clock.advanceAsync(1);
    expect((await reconciled).map(({ userId, logoutAt }) => [userId, logoutAt])).toEqual([
      [1, 21],
      [2, 22],
      [3, 23],
    ]);
    expect(batches.map(({ length }) => length)).toEqual([3]);
  });

  test('[DR1] a stop waits for the pass in progress and begins no other', async () => {
    let passes = 0;
    let finish = (): void => undefined;
    const { reconciler, clock, asked } = room({
      withReconcilerLock: () => {
        passes += 1;
        return new Promise((resolve) => {
          finish = () => resolve(true);
        });
      },
    });
    await reconciler.start();
    await clock.advanceAsync(6000, 100);
    expect(passes).toBe(1);
    let stopped = false;
    const stop = reconciler.stop().then(() => {
      stopped = true;
    });
    await clock.advanceAsync(1000, 100);
    expect(stopped).toBe(false);
    finish();
    await stop;
    const lives = asked.length;
    await clock.advanceAsync(30_000, 100);
    expect([passes, asked.length]).toEqual([1, lives]);
  });

  test('old rows are pruned batch after batch, and then not for ten minutes', async () => {
    const left = [1000, 1000, 3];
    let asked = 0;
    const { reconciler, clock } = room({
      prunePeriods: () => {
        asked += 1;
        return Promise.resolve(left.shift() ?? 0);
      },
    });
    await reconciler.start();
    await clock.advanceAsync(6000, 100);
    expect(asked).toBe(3);
    await clock.advanceAsync(590_000, 1000);
    expect(asked).toBe(3);
    await clock.advanceAsync(20_000, 1000);
    expect(asked).toBe(4);
  });
});
