import { describe, expect, it } from 'vitest';
import { dueCount, intendedMs, percentile, summarize } from '../../../src/cli/bench/statistics.ts';

const HUNDRED = Array.from({ length: 100 }, (_, index) => index + 1);

describe('percentiles', () => {
  it.each([
    [0.5, 50],
    [0.99, 99],
    [1, 100],
    [0, 1],
  ])('of 1 to 100, share %d is %d', (share, value) => {
    expect(percentile(HUNDRED, share)).toBe(value);
  });

  it('one value is every percentile; no value has none', () => {
    expect(percentile([7], 0.99)).toBe(7);
    expect(percentile([], 0.99)).toBeNaN();
  });

  it('a summary sorts, and is NaN of nothing', () => {
    expect(summarize([3, 1, 2])).toMatchObject({ count: 3, min: 1, half: 2, p99: 3, max: 3 });
    expect(summarize([])).toMatchObject({
      count: 0,
      min: Number.NaN,
      half: Number.NaN,
      p99: Number.NaN,
      max: Number.NaN,
    });
  });
});

describe('a steady rate', () => {
  it('the first event is due at once, the others at equal distances', () => {
    expect([-1, 0, 1.9, 2, 1000].map((ms) => dueCount(ms, 500))).toEqual([0, 1, 1, 2, 501]);
    expect([0, 1, 500].map((index) => intendedMs(index, 500))).toEqual([0, 2, 1000]);
  });
});
