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

  it('forgets the buckets that are full again, as others are used', () => {
    const clock = new FakeClock();
    const limiter = new RateLimiter(clock);
    const limit = { perSecond: 1, burst: 2 };
    for (const key of ['a', 'b', 'c', 'd']) limiter.take(key, limit);
    clock.stall(999);
    limiter.take('e', limit);
    expect(limiter.size).toBe(5);
    clock.stall(1);
    limiter.take('e', limit);
    expect(limiter.size).toBe(3);
    limiter.take('e', limit);
    expect(limiter.size).toBe(1);
  });

  it('gives back what time gives and no more than the burst', () => {
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

  it('never says that a token is there in less than a second', () => {
    const clock = new FakeClock();
    const limiter = new RateLimiter(clock);
    const limit = { perSecond: 1000, burst: 1 };
    expect([limiter.take('a', limit), limiter.take('a', limit)]).toEqual([0, 1]);
  });

  it('counts the refusals in a row of each key, from the last token on', () => {
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
