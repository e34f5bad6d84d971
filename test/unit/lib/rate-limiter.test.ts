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
});
