import { describe, expect, it } from 'vitest';
import { PacedWork } from '../../../src/connection/paced-work.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';

describe('PacedWork', () => {
  it('[HB4] does the first of a burst at once and the rest in order, some each turn', () => {
    const turns: (() => void)[] = [];
    const clock = new FakeClock();
    clock.defer = (turn) => {
      turns.push(turn);
      return { cancel() {} };
    };
    const work = new PacedWork(clock);
    const done: number[] = [];
    for (let piece = 1; piece <= 25; piece += 1) work.run(() => done.push(piece));
    expect(done).toHaveLength(10);
    turns.shift()?.();
    expect(done).toHaveLength(20);
    // Later work waits behind earlier work.
    work.run(() => done.push(26));
    turns.shift()?.();
    expect(done).toEqual(Array.from({ length: 26 }, (_, index) => index + 1));
    turns.shift()?.();
    expect(turns).toEqual([]);
    work.run(() => done.push(27));
    expect(done.at(-1)).toBe(27);
  });
});
