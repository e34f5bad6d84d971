import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { SlicedQueue } from '../../../src/lib/sliced-queue.ts';

function open(run: (item: number, clock: FakeClock) => void, limits = {}) {
  const clock = new FakeClock();
  const queue = new SlicedQueue<number>({
    clock,
    run: (item) => run(item, clock),
    maxItems: 1000,
    maxWeight: 10_000,
    weigh: () => 1,
    ...limits,
  });
  return { clock, queue };
}

describe('a sliced queue', () => {
  it('handles nothing in the turn of the caller, and then everything in order', () => {
    const seen: number[] = [];
    const { clock, queue } = open((item) => seen.push(item));
    for (let item = 0; item < 100; item += 1) expect(queue.push(item)).toBe(true);
    expect([seen.length, queue.size]).toEqual([0, 100]);
    clock.advance(0);
    expect(seen).toEqual(Array.from({ length: 100 }, (_, index) => index));
    expect(queue.size).toBe(0);
  });

  it('[DL5] gives the loop back after 4 ms of work', () => {
    let handled = 0;
    const turns: number[] = [];
    const { clock, queue } = open((_item, time) => {
      handled += 1;
      time.stall(1);
    });
    for (let item = 0; item < 40; item += 1) queue.push(item);
    const other = (): void => {
      turns.push(handled);
      if (queue.size > 0) clock.defer(other);
    };
    clock.defer(other);
    clock.advance(1000);
    const slices = turns.map((until, index) => until - (turns[index - 1] ?? 0));
    expect(Math.max(...slices)).toBeLessThanOrEqual(8);
    expect(handled).toBe(40);
  });

  it('refuses items over its bounds, but accepts a single item over the limit if it is alone', () => {
    const none = (): void => undefined;
    const few = open(none, { maxItems: 2 });
    expect([1, 2, 3].map((item) => few.queue.push(item))).toEqual([true, true, false]);
    few.clock.advance(0);
    expect(few.queue.push(4)).toBe(true);
    const light = open(none, { maxWeight: 10, weigh: (item: number) => item });
    expect([50, 1].map((item) => light.queue.push(item))).toEqual([true, false]);
    light.clock.advance(0);
    expect([6, 5, 4].map((item) => light.queue.push(item))).toEqual([true, false, true]);
  });

  it('keeps no handled items in memory while it never becomes empty', () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const items = 3_000_000;
    let grown = 0;
    const heap = (): number => {
      collect();
      return process.memoryUsage().heapUsed;
    };
    const { clock, queue } = open((item) => {
      if (item < items) queue.push(item + 1);
      else grown = heap() - before;
    });
    queue.push(0);
    queue.push(items + 1);
    const before = heap();
    clock.advance(0);
    expect(queue.size).toBe(0);
    expect(grown).toBeLessThan(8_000_000);
  });

  it('an item that throws is skipped', () => {
    const seen: number[] = [];
    const { clock, queue } = open((item) => {
      if (item === 1) throw new Error('a bug');
      seen.push(item);
    });
    for (const item of [0, 1, 2]) queue.push(item);
    expect(() => clock.advance(0)).toThrow('a bug');
    clock.advance(0);
    expect(seen).toEqual([0, 2]);
  });
});
