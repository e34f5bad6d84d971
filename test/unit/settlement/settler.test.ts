import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import type { Log, LogFields } from '../../../src/logging/log.ts';
import type { Duty } from '../../../src/protocol/periods.ts';
import { Settler } from '../../../src/settlement/settler.ts';
import { type UserStore, UsersLocked } from '../../../src/settlement/user-store.ts';
import { DutyQueue } from '../../support/duty-queue.ts';
import { duty, openStore, sqliteDatabase, type TestDatabase } from '../../support/user-stores.ts';

describe('Settler', () => {
  let clock: FakeClock;
  let database: TestDatabase;
  let store: UserStore;
  let queue: DutyQueue;
  let logged: LogFields[];
  let settled: Duty[];
  let settler: Settler;
  /** Thrown by every settle while set. */
  let broken: Error | undefined;
  let settles: number;
  /** Users whose rows another program locks. */
  let locked: Set<number>;

  beforeEach(async () => {
    clock = new FakeClock();
    database = sqliteDatabase();
    store = await openStore(database.options);
    queue = new DutyQueue();
    logged = [];
    settled = [];
    broken = undefined;
    settles = 0;
    locked = new Set();
    const note = (fields: LogFields): void => void logged.push(fields);
    const log: Log = { debug() {}, info: note, warn: note, error: note };
    settler = new Settler({
      store: {
        settle(duties, settledAt) {
          settles += 1;
          const met = duties.filter(({ userId }) => locked.has(userId)).map(({ userId }) => userId);
          if (met.length > 0) return Promise.reject(new UsersLocked(new Set(met), new Error('locked')));
          return broken === undefined ? store.settle(duties, settledAt) : Promise.reject(broken);
        },
      },
      source: queue,
      clock,
      log,
      random: () => 1,
      onSettled: (duties) => void settled.push(...duties),
    });
  });
  afterEach(async () => {
    await settler.stop();
    await store.close();
    await database.remove();
  });

  const events = (name: string): LogFields[] => logged.filter(({ event }) => event === name);
  const lost = (): Error => Object.assign(new Error('connection lost'), { code: '57P01' });

  test('[ST7] only the logouts of users whose rows others lock wait, and are written once the rows are free', async () => {
    locked = new Set([3, 7]);
    settler.start();
    queue.add(...[3, 5].map((userId) => duty({ userId })));
    settler.wake();
    await clock.advanceAsync(200);
    queue.add(...[7, 9].map((userId) => duty({ userId })));
    settler.wake();
    await clock.advanceAsync(200);
    expect(settled.map(({ userId }) => userId)).toEqual([5, 9]);
    expect(events('settlement-failed').map(({ error }) => error)).toContainEqual(
      expect.stringContaining('locks rows of the users table'),
    );
    locked.delete(3);
    await clock.advanceAsync(10_000, 100);
    expect(settled.map(({ userId }) => userId)).toEqual([5, 9, 3]);
    expect((await queue.pendingDuties()).count).toBe(1);
    locked.clear();
    await clock.advanceAsync(10_000, 100);
    expect(settled.map(({ userId }) => userId)).toEqual([5, 9, 3, 7]);
    expect((await queue.pendingDuties()).count).toBe(0);
  });

  test('[DR1] a stop does not wait for locked rows: their logouts stay in the source', async () => {
    locked = new Set([3]);
    settler.start();
    queue.add(duty({ userId: 3 }));
    await clock.advanceAsync(2_000, 10);
    await settler.stop();
    expect((await queue.pendingDuties()).count).toBe(1);
  });

  test('[ST3] simultaneous ends share a transaction, sorted by user, within 200 ms', async () => {
    settler.start();
    await clock.advanceAsync(50);
    queue.add(...[9, 3, 5].map((userId) => duty({ userId })));
    for (let n = 0; n < 3; n += 1) settler.wake();
    await clock.advanceAsync(200);
    expect(settles).toBe(1);
    expect(queue.takes).toEqual([3]);
    expect(settled.map(({ userId }) => userId)).toEqual([3, 5, 9]);
    expect(events('settled')).toContainEqual({
      event: 'settled',
      userId: 3,
      period: 1_000_000,
      reason: 'timeout',
    });
    expect(queue.given.size).toBe(0);
    expect([...(await store.newestPeriods([3, 5, 9])).keys()]).toEqual([3, 5, 9]);
  });

  test('[ST3] 1,200 duties go in batches of at most 500', async () => {
    queue.add(...Array.from({ length: 1200 }, (_, n) => duty({ userId: n + 1 })));
    settler.start();
    await clock.advanceAsync(500);
    expect(queue.takes).toEqual([500, 500, 200]);
    expect(settler.pendingCount).toBe(0);
  });

  test('[ST7] the settler finds duties without a wake-up within a second', async () => {
    settler.start();
    await clock.advanceAsync(500);
    queue.add(duty({ userId: 1 }));
    await clock.advanceAsync(700);
    expect(settled).toHaveLength(1);
  });

  test('[ST7] while SQL is down duties wait with their age, retries back off, and all are settled afterwards', async () => {
    settler.start();
    broken = lost();
    queue.add(duty({ userId: 1 }));
    settler.wake();
    await clock.advanceAsync(60_000, 50);
    // Full jitter at its longest: 100, 200, 400, … and then 5,000 ms.
    expect(settles).toBeGreaterThan(12);
    expect(settles).toBeLessThan(20);
    expect(events('settlement-failed')[0]).toMatchObject({ attempt: 1, error: 'connection lost' });
    expect(settler.pendingCount).toBe(1);
    queue.oldestAgeMs = 59_000;
    await clock.advanceAsync(1000, 50);
    expect(settler.oldestAgeMs).toBeGreaterThanOrEqual(59_000);
    expect(settled).toEqual([]);
    queue.add(duty({ userId: 2 }));
    broken = undefined;
    await clock.advanceAsync(6000, 50);
    expect(settled.map(({ userId }) => userId)).toEqual([1, 2]);
    expect([settler.pendingCount, settler.oldestAgeMs]).toEqual([0, 0]);
  });

  test('[ST7] a row that can never succeed becomes a dead letter with an alert, the other 499 settle', async () => {
    await database.run('insert into users (id) values (13), (14)');
    await database.run(
      `create trigger poison before update on users when new.id = 13 begin select raise(abort, 'poison'); end`,
    );
    queue.add(...Array.from({ length: 500 }, (_, n) => duty({ userId: n + 1 })));
    settler.start();
    await clock.advanceAsync(500);
    expect(settled).toHaveLength(499);
    expect(queue.aside).toMatchObject([{ duty: { userId: 13 }, error: 'poison' }]);
    expect(events('settlement-set-aside')).toMatchObject([{ userId: 13, period: 1_000_000 }]);
    expect(queue.given.size).toBe(0);
    expect(settles).toBeLessThan(25);
    expect(await database.userTime(14)).toBe(2_000_000);
  });

  test('[ST2] an acknowledgement that fails is repeated, the settlement is not', async () => {
    queue.add(duty({ userId: 1 }));
    const ack = queue.ackDuties.bind(queue);
    let failures = 2;
    queue.ackDuties = (duties) => (failures-- > 0 ? Promise.reject(new Error('queue down')) : ack(duties));
    settler.start();
    await clock.advanceAsync(1000);
    expect(settles).toBe(1);
    expect(queue.given.size).toBe(0);
  });

  test('[ST3] of a burst at most three batches are in progress at a time', async () => {
    queue.add(...Array.from({ length: 2500 }, (_, n) => duty({ userId: n + 1 })));
    const ack = queue.ackDuties.bind(queue);
    const waiting: (() => void)[] = [];
    queue.ackDuties = async (duties) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return ack(duties);
    };
    settler.start();
    await clock.advanceAsync(500);
    expect([settles, settled.length, waiting.length, settler.hasBurst]).toEqual([3, 1500, 3, true]);
    for (let batch = 0; batch < 5; batch += 1) {
      waiting.shift()?.();
      await clock.advanceAsync(500);
    }
    expect([settles, settled.length, queue.given.size]).toEqual([5, 2500, 0]);
    expect(settler.hasBurst).toBe(false);
    // A worker without further duties starts again with the next burst.
    queue.add(...Array.from({ length: 1500 }, (_, n) => duty({ userId: n + 1, period: 2_000_000 })));
    settler.wake();
    await clock.advanceAsync(500);
    expect([settles, settler.hasBurst]).toEqual([8, true]);
    for (let batch = 0; batch < 3; batch += 1) {
      waiting.shift()?.();
      await clock.advanceAsync(500);
    }
    expect(settler.hasBurst).toBe(false);
  });

  test('[ST3] logouts come before settlements, but not forever', async () => {
    queue.burst = true;
    queue.add(duty({ userId: 1 }));
    settler.start();
    await clock.advanceAsync(900, 5);
    expect(settled).toEqual([]);
    await clock.advanceAsync(200, 5);
    expect(settled).toHaveLength(1);
    queue.add(duty({ userId: 2 }));
    settler.wake();
    await clock.advanceAsync(500, 5);
    expect(settled).toHaveLength(1);
    queue.burst = false;
    await clock.advanceAsync(100, 5);
    expect(settled).toHaveLength(2);
  });

  test('[ST7] the settler retries an unreachable duty source', async () => {
    queue.down = true;
    queue.add(duty({ userId: 1 }));
    settler.start();
    await clock.advanceAsync(1500);
    queue.down = false;
    await clock.advanceAsync(1100);
    expect(settled).toHaveLength(1);
  });

  test('[DR1] flush settles the waiting duties and reports whether all are done', async () => {
    queue.add(duty({ userId: 1 }), duty({ userId: 2 }));
    const done = settler.flush(1000);
    await clock.advanceAsync(200);
    expect(await done).toBe(true);
    expect(settled).toHaveLength(2);
    broken = lost();
    queue.add(duty({ userId: 3 }));
    const failed = settler.flush(1000);
    await clock.advanceAsync(1200);
    expect(await failed).toBe(false);
    queue.down = true;
    const away = settler.flush(1000);
    await clock.advanceAsync(1200);
    expect(await away).toBe(false);
    await settler.stop();
    expect(queue.given.size).toBe(1);
  });

  test('[DR1] flush looks once, even without time', async () => {
    const empty = settler.flush(0);
    await clock.advanceAsync(200);
    expect(await empty).toBe(true);
    broken = lost();
    queue.add(duty({ userId: 1 }));
    const left = settler.flush(0);
    await clock.advanceAsync(200);
    expect(await left).toBe(false);
  });

  test('[DR1] flush does not wait for a source that does not answer', async () => {
    queue.pendingDuties = () => new Promise(() => {});
    const frozen = settler.flush(500);
    await clock.advanceAsync(700);
    expect(await frozen).toBe(false);
  });
});
