import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import type { Opening, PeriodKey } from '../../../src/protocol/periods.ts';
import { RefusedForGood } from '../../../src/protocol/periods.ts';
import { PresenceLedger, type PresenceLedgerOptions } from '../../../src/settlement/presence-ledger.ts';

/** SQL refuses the first `failures` calls. */
function ledger(failures = 0) {
  const clock = new FakeClock();
  let left = failures;
  const moved: (readonly [node: string, periods: readonly PeriodKey[]])[] = [];
  const store = {
    movePeriods(periods: readonly PeriodKey[], node: string) {
      left -= 1;
      if (left >= 0) return Promise.reject(new Error('SQL down'));
      moved.push([node, periods]);
      return Promise.resolve();
    },
  };
  const options = { clock, node: 'me#2', store } as unknown as PresenceLedgerOptions;
  return { clock, moved, ledger: new PresenceLedger(options) };
}

describe('periods that moved to this node', () => {
  test('[ST5] are moved to it in SQL soon, simultaneous ones together', async () => {
    const room = ledger();
    room.ledger.moved({ userId: 1, period: 10 });
    room.ledger.moved({ userId: 2, period: 20 });
    expect(room.moved).toEqual([]);
    await room.clock.advanceAsync(300, 10);
    const periods = [
      { userId: 1, period: 10 },
      { userId: 2, period: 20 },
    ];
    expect(room.moved).toEqual([['me#2', periods]]);
  });

  test('[ST5] are moved at a stop, if that comes first', async () => {
    const room = ledger();
    room.ledger.moved({ userId: 1, period: 10 });
    await room.ledger.stop();
    expect(room.moved).toEqual([['me#2', [{ userId: 1, period: 10 }]]]);
    await room.clock.advanceAsync(5_000, 100);
    expect(room.moved).toHaveLength(1);
  });

  test('[ST5] [trap 15] are moved once SQL is back, including those that came meanwhile', async () => {
    const room = ledger(3);
    room.ledger.moved({ userId: 1, period: 10 });
    await room.clock.advanceAsync(1_500, 10);
    room.ledger.moved({ userId: 2, period: 20 });
    expect(room.moved).toEqual([]);
    await room.clock.advanceAsync(3_000, 10);
    const periods = room.moved.flatMap(([, batch]) => batch);
    expect(periods).toEqual([
      { userId: 1, period: 10 },
      { userId: 2, period: 20 },
    ]);
    await room.clock.advanceAsync(10_000, 100);
    expect(room.moved.flatMap(([, batch]) => batch)).toHaveLength(2);
  });

  test('[ST5] are all moved, even if one statement cannot hold them', async () => {
    const room = ledger();
    for (let userId = 1; userId <= 1_234; userId += 1) room.ledger.moved({ userId, period: 10 });
    await room.clock.advanceAsync(500, 10);
    const users = room.moved.flatMap(([, batch]) => batch.map(({ userId }) => userId));
    expect(new Set(users).size).toBe(1_234);
    expect(Math.max(...room.moved.map(([, batch]) => batch.length))).toBeLessThanOrEqual(500);
  });

  test('[ST5] a stop while SQL fails ends, and makes no further calls', async () => {
    const room = ledger(1);
    room.ledger.moved({ userId: 1, period: 10 });
    await room.ledger.stop();
    await room.clock.advanceAsync(5_000, 100);
    expect(room.moved).toEqual([]);
  });
});

/** A ledger whose SQL does what `open` says; returns the written openings. */
function openings(open: (opening: Opening) => Promise<void>) {
  const clock = new FakeClock();
  const written: number[] = [];
  const woken: number[] = [];
  const groupCommit = {
    open: async (opening: Opening) => {
      await open(opening);
      written.push(opening.userId);
    },
  };
  const settler = { wake: () => void woken.push(clock.now()) };
  const options = { clock, node: 'me#2', groupCommit, settler } as unknown as PresenceLedgerOptions;
  return { clock, written, woken, ledger: new PresenceLedger(options) };
}

const openingOf = (userId: number): Opening => ({ userId, period: 10, loginAt: 10, node: 'me#2' });

describe('openings that SQL could not accept', () => {
  test('[ST4] are written once SQL is back, each once, and later ones too', async () => {
    let down = true;
    const room = openings(() => (down ? Promise.reject(new Error('SQL down')) : Promise.resolve()));
    room.ledger.openLater(openingOf(1));
    room.ledger.openLater(openingOf(2));
    await room.clock.advanceAsync(5_500, 50);
    expect(room.written).toEqual([]);
    down = false;
    await room.clock.advanceAsync(1_500, 50);
    expect(room.written).toEqual([1, 2]);
    await room.clock.advanceAsync(5_000, 50);
    room.ledger.openLater(openingOf(3));
    await room.clock.advanceAsync(1_500, 50);
    expect(room.written).toEqual([1, 2, 3]);
  });

  test('[ST4] continue if SQL refuses one of them permanently', async () => {
    const room = openings(({ userId }) =>
      userId === 1
        ? Promise.reject(Object.assign(new Error('check constraint'), { code: '23514' }))
        : Promise.resolve(),
    );
    room.ledger.openLater(openingOf(1));
    room.ledger.openLater(openingOf(2));
    await room.clock.advanceAsync(1_500, 50);
    expect(room.written).toEqual([2]);
    await expect(room.ledger.open(openingOf(1))).rejects.toThrow(RefusedForGood);
    await expect(room.ledger.open(openingOf(4))).resolves.toBeUndefined();
  });

  test('[ST4] a temporary failure does not count as permanent', async () => {
    const room = openings(() => Promise.reject(new Error('connection lost')));
    await expect(room.ledger.open(openingOf(1))).rejects.not.toThrow(RefusedForGood);
  });

  test('[ST4] are given up at a stop', async () => {
    let down = true;
    const room = openings(() => (down ? Promise.reject(new Error('SQL down')) : Promise.resolve()));
    room.ledger.openLater(openingOf(1));
    await room.clock.advanceAsync(1_500, 50);
    await room.ledger.stop();
    down = false;
    await room.clock.advanceAsync(5_000, 50);
    expect(room.written).toEqual([]);
  });
});

/** A ledger with an SQL that may be down. Returns the dropped rows and the reconciled ones. */
function dropping() {
  const clock = new FakeClock();
  const room = {
    down: false,
    deletion: Promise.resolve(),
    dropped: [] as (readonly number[])[],
    opened: [] as number[],
    reconciled: [] as number[],
  };
  const store = {
    movePeriods: () => Promise.resolve(),
    dropOpenings(periods: readonly PeriodKey[], node: string) {
      if (room.down || node !== 'me#2') return Promise.reject(new Error('SQL down'));
      room.dropped.push(periods.map(({ userId }) => userId));
      return room.deletion;
    },
  };
  const groupCommit = { open: ({ userId }: Opening) => Promise.resolve(room.opened.push(userId)) };
  const reconciler = {
    reconcileNow: (row: PeriodKey) => Promise.resolve(room.reconciled.push(row.userId)),
  };
  const options = { clock, node: 'me#2', store, groupCommit, reconciler } as unknown as PresenceLedgerOptions;
  return Object.assign(room, { clock, ledger: new PresenceLedger(options) });
}

describe('an opening whose login was refused', () => {
  const rowOf = (userId: number, node = 'me#2') => ({
    ...openingOf(userId),
    ...{ node, lastSeenAt: null, logoutAt: null, reason: null, settledAt: null },
  });

  test('[ST4] is dropped whenever its row comes, until the reconciler would see it', async () => {
    const room = dropping();
    room.ledger.giveUp(openingOf(1));
    await room.clock.advanceAsync(20_000, 100);
    expect(room.dropped).toEqual(Array.from({ length: 10 }, () => [1]));
  });

  test('[ST4] is dropped after SQL was down, however long that took', async () => {
    const room = dropping();
    room.down = true;
    room.ledger.giveUp(openingOf(1));
    await room.clock.advanceAsync(60_000, 100);
    room.down = false;
    await room.clock.advanceAsync(20_000, 100);
    expect(room.dropped).toHaveLength(10);
  });

  test('[ST4] stays if a login opens the same period after all', async () => {
    const room = dropping();
    room.ledger.giveUp(openingOf(1));
    await room.ledger.open(openingOf(1));
    await room.clock.advanceAsync(20_000, 100);
    expect(room.dropped).toEqual([]);
  });

  test('[ST4] is opened again only after a deletion of its row that is under way', async () => {
    const room = dropping();
    let deleted: () => void = () => undefined;
    room.deletion = new Promise((resolve) => {
      deleted = resolve;
    });
    room.ledger.giveUp(openingOf(1));
    await room.clock.advanceAsync(1_000, 100);
    const opened = room.ledger.open(openingOf(1));
    await room.clock.advanceAsync(100, 10);
    expect([room.dropped, room.opened]).toEqual([[[1]], []]);
    deleted();
    await opened;
    expect(room.opened).toEqual([1]);
  });

  test('[ST4] stays if the user comes to this node within its period, which another node has opened', async () => {
    const room = dropping();
    room.ledger.giveUp(openingOf(1));
    room.ledger.moved(openingOf(1));
    await room.clock.advanceAsync(20_000, 100);
    expect(room.dropped).toEqual([]);
  });

  test('[ST4] is dropped, not reconciled, when the next login finds its row, unless another node has it', async () => {
    const room = dropping();
    room.ledger.giveUp(openingOf(1));
    room.ledger.giveUp(openingOf(2));
    await room.ledger.reconcile(rowOf(1), 20);
    await room.ledger.reconcile(rowOf(2, 'other#1'), 20);
    await room.ledger.reconcile(rowOf(3), 20);
    expect([room.dropped, room.reconciled]).toEqual([[[1]], [2, 3]]);
  });

  test('[ST4] is dropped at a stop once more, and not after it', async () => {
    const room = dropping();
    room.ledger.giveUp(openingOf(1));
    await room.ledger.stop();
    expect(room.dropped).toEqual([[1]]);
    await room.clock.advanceAsync(20_000, 100);
    expect(room.dropped).toHaveLength(1);
  });
});

describe('a login during a settlement', () => {
  const duty = (userId: number): Parameters<PresenceLedger['onSettled']>[0][number] => ({
    ...{ id: '1', userId, period: 10, loginAt: 10, logoutAt: 20, lastSeenAt: 20 },
    ...{ reason: 'logout', node: 'me#2' },
  });

  test('[ST6] wakes the settler and continues once the period is settled, not after another one', async () => {
    const room = openings(() => Promise.resolve());
    const done: string[] = [];
    void room.ledger.settled({ userId: 1, period: 10 }, 500).then(() => done.push('first'));
    void room.ledger.settled({ userId: 1, period: 10 }, 500).then(() => done.push('second'));
    expect(room.woken).toHaveLength(2);
    room.ledger.onSettled([duty(2)]);
    await room.clock.advanceAsync(100, 10);
    expect(done).toEqual([]);
    room.ledger.onSettled([duty(1)]);
    await room.clock.advanceAsync(10, 10);
    expect(done).toEqual(['first', 'second']);
  });

  test('[ST6] waits no longer than its limit', async () => {
    const room = openings(() => Promise.resolve());
    let done = false;
    void room.ledger.settled({ userId: 1, period: 10 }, 500).then(() => {
      done = true;
    });
    await room.clock.advanceAsync(490, 10);
    expect(done).toBe(false);
    await room.clock.advanceAsync(20, 10);
    expect(done).toBe(true);
    room.ledger.onSettled([duty(1)]);
  });

  test('[ST3] a period that ended wakes the settler', () => {
    const room = openings(() => Promise.resolve());
    room.ledger.wake();
    expect(room.woken).toHaveLength(1);
  });
});
