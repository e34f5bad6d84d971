import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import type { PeriodKey } from '../../../src/protocol/periods.ts';
import { PresenceLedger, type PresenceLedgerOptions } from '../../../src/settlement/presence-ledger.ts';

function ledger() {
  const clock = new FakeClock();
  const moved: (readonly [node: string, periods: readonly PeriodKey[]])[] = [];
  const store = {
    movePeriods(periods: readonly PeriodKey[], node: string) {
      moved.push([node, periods]);
      return Promise.resolve();
    },
  };
  const options = { clock, node: 'me#2', store } as unknown as PresenceLedgerOptions;
  return { clock, moved, ledger: new PresenceLedger(options) };
}

describe('periods that came to this node', () => {
  test('[ST5] are moved to it in SQL soon, those of one moment together', async () => {
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

  test('[ST5] are moved at a stop as well, where it comes first', async () => {
    const room = ledger();
    room.ledger.moved({ userId: 1, period: 10 });
    await room.ledger.stop();
    expect(room.moved).toEqual([['me#2', [{ userId: 1, period: 10 }]]]);
    await room.clock.advanceAsync(5_000, 100);
    expect(room.moved).toHaveLength(1);
  });
});
