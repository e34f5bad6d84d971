import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { RateLimiter } from '../../../src/lib/rate-limiter.ts';

describe('RateLimiter', () => {
  it('allows a burst, then a number a second, for each key separately', () => {
    const clock = new FakeClock();
    const limiter = new RateLimiter(clock);
    const limit = { perSecond: 0.5, burst: 2 };
    expect([limiter.take('a', limit), limiter.take('a', limit), limiter.take('a', limit)]).toEqual([0, 0, 2]);
    expect(limiter.take('b', limit)).toBe(0);
    clock.advance(1000);
    expect(limiter.take('a', limit)).toBe(1);
    clock.advance(1000);
    expect(limiter.take('a', limit)).toBe(0);
  });

  it('gives whole tokens at any time of the clock', () => {
    const clock = new FakeClock();
    const limiter = new RateLimiter(clock);
    const limit = { perSecond: 0.3, burst: 7 };
    for (let round = 0; round < 500; round += 1) {
      clock.stall(100_003.000_1 * round);
      const taken = Array.from({ length: 8 }, () => limiter.take(round, limit));
      expect(taken).toEqual([0, 0, 0, 0, 0, 0, 0, 4]);
    }
  });

  it('remembers a bounded number of keys and forgets the longest idle one', () => {
    const limiter = new RateLimiter(new FakeClock(), 2);
    const limit = { perSecond: 1, burst: 1 };
    limiter.take('a', limit);
    limiter.take('b', limit);
    limiter.take('a', limit);
    limiter.take('c', limit);
    expect(limiter.size).toBe(2);
    expect(limiter.take('a', limit)).toBe(1);
    expect(limiter.take('b', limit)).toBe(0);
  });

  it('forgets the buckets that are full again, each second', () => {
    const clock = new FakeClock();
    const limiter = new RateLimiter(clock);
    const limit = { perSecond: 1, burst: 2 };
    for (const key of ['a', 'b', 'c', 'd']) limiter.take(key, limit);
    clock.advance(500);
    for (let taken = 0; taken < 2; taken += 1) limiter.take('e', limit);
    clock.advance(499);
    expect(limiter.size).toBe(5);
    clock.advance(1);
    expect(limiter.size).toBe(1);
    clock.advance(2000);
    expect(limiter.size).toBe(0);
  });

  it('refills with time, up to the burst', () => {
    const clock = new FakeClock();
    const limiter = new RateLimiter(clock);
    const limit = { perSecond: 1, burst: 3 };
    const takeFive = () => Array.from({ length: 5 }, () => limiter.take('a', limit));
    clock.stall(3_600_000);
    expect(takeFive()).toEqual([0, 0, 0, 1, 1]);
    clock.stall(1000);
    expect(takeFive()).toEqual([0, 1, 1, 1, 1]);
    clock.stall(3_600_000);
    expect(takeFive()).toEqual([0, 0, 0, 1, 1]);
  });

  it('never returns a wait of less than a second', () => {
    const clock = new FakeClock();
    const limiter = new RateLimiter(clock);
    const limit = { perSecond: 1000, burst: 1 };
    expect([limiter.take('a', limit), limiter.take('a', limit)]).toEqual([0, 1]);
  });

  it('counts the consecutive refusals of each key since its last token', () => {
    const clock = new FakeClock();
    const limiter = new RateLimiter(clock);
    const limit = { perSecond: 1, burst: 1 };
    expect(limiter.refusalsInARow('a')).toBe(0);
    limiter.take('a', limit);
    expect(limiter.refusalsInARow('a')).toBe(0);
    limiter.take('a', limit);
    limiter.take('a', limit);
    expect([limiter.refusalsInARow('a'), limiter.refusalsInARow('b')]).toEqual([2, 0]);
    clock.stall(1000);
    limiter.take('a', limit);
    expect(limiter.refusalsInARow('a')).toBe(0);
    limiter.take('a', limit);
    expect(limiter.refusalsInARow('a')).toBe(1);
  });
});
