import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import type { PeriodKey } from '../../../src/protocol/periods.ts';
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

describe('periods that came to this node', () => {
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

  test('[ST5] [trap 15] are moved once SQL is back, those that came meanwhile as well', async () => {
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

  test('[ST5] more than one statement takes are all moved', async () => {
    const room = ledger();
    for (let userId = 1; userId <= 1_234; userId += 1) room.ledger.moved({ userId, period: 10 });
    await room.clock.advanceAsync(500, 10);
    const users = room.moved.flatMap(([, batch]) => batch.map(({ userId }) => userId));
    expect(new Set(users).size).toBe(1_234);
    expect(Math.max(...room.moved.map(([, batch]) => batch.length))).toBeLessThanOrEqual(500);
  });

  test('[ST5] a stop while SQL fails ends, and asks no more', async () => {
    const room = ledger(1);
    room.ledger.moved({ userId: 1, period: 10 });
    await room.ledger.stop();
    await room.clock.advanceAsync(5_000, 100);
    expect(room.moved).toEqual([]);
  });
});
