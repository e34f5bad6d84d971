import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ObservedTime } from '../../../src/heartbeat/observed-time.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';

describe('ObservedTime', () => {
  it('[HB5] counts a gap of up to a second in full', () => {
    const clock = new FakeClock();
    const time = new ObservedTime(clock);
    clock.stall(1000);
    expect(time.now()).toBe(1000);
  });

  it('[HB5] credits the part of a stall beyond a second', () => {
    const clock = new FakeClock();
    const credits: number[] = [];
    const time = new ObservedTime(clock, (ms) => credits.push(ms));
    clock.stall(5000);
    expect(time.now()).toBe(1000);
    expect(credits).toEqual([4000]);
    clock.stall(10);
    expect(time.now()).toBe(1010);
    expect(credits).toEqual([4000]);
  });

  it('[HB5] a suspend of hours counts as one second', () => {
    const clock = new FakeClock();
    const time = new ObservedTime(clock);
    clock.stall(8 * 3_600_000);
    expect(time.now()).toBe(1000);
  });

  it('[HB5] a step of the wall clock does not count', () => {
    const clock = new FakeClock();
    const time = new ObservedTime(clock);
    clock.stepWall(8 * 3_600_000);
    expect(time.now()).toBe(0);
    clock.stepWall(-16 * 3_600_000);
    clock.stall(100);
    expect(time.now()).toBe(100);
  });

  it('[PR10] stands still while frozen and then continues', () => {
    const clock = new FakeClock();
    const credits: number[] = [];
    const time = new ObservedTime(clock, (ms) => credits.push(ms));
    clock.stall(300);
    time.freeze();
    expect(time.frozen).toBe(true);
    for (let look = 0; look < 5; look += 1) {
      clock.stall(60_000);
      expect(time.now()).toBe(300);
    }
    time.freeze();
    clock.stall(700);
    time.thaw();
    expect(time.frozen).toBe(false);
    expect(time.now()).toBe(300);
    clock.stall(200);
    expect(time.now()).toBe(500);
    expect(credits).toEqual([]);
  });

  it('[HB5] gives the real time of its last reading, stalls included', () => {
    const clock = new FakeClock();
    const time = new ObservedTime(clock);
    clock.stall(5000);
    time.now();
    expect(time.monotonic).toBe(5000);
  });

  it('[HB5] never steps back, and never runs ahead of real time', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('stall' as const), ms: fc.integer({ min: 0, max: 20_000 }) }),
      fc.constantFrom({ kind: 'freeze' as const }, { kind: 'thaw' as const }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const clock = new FakeClock();
        const time = new ObservedTime(clock);
        let last = time.now();
        for (const next of steps) {
          const before = clock.monotonic();
          if (next.kind === 'stall') clock.stall(next.ms);
          else time[next.kind]();
          const now = time.now();
          expect(now).toBeGreaterThanOrEqual(last);
          expect(now - last).toBeLessThanOrEqual(Math.min(1000, clock.monotonic() - before));
          last = now;
        }
      }),
      { numRuns: 200 },
    );
  });

  it('[HB5] a gap of a second gives no credit, and a gap of a millisecond more gives that millisecond', () => {
    const clock = new FakeClock();
    const credits: number[] = [];
    const time = new ObservedTime(clock, (ms) => credits.push(ms));
    clock.stall(1000);
    time.now();
    expect(credits).toEqual([]);
    clock.stall(1001);
    time.now();
    expect(credits).toEqual([1]);
  });

  it('[HB5] counts how long the loop did not turn, beyond a usual turn', () => {
    const clock = new FakeClock();
    const time = new ObservedTime(clock);
    clock.stall(3000);
    time.now();
    // Without a ticker, it is not known that the loop is late.
    expect(time.stalledMs).toBe(0);
    time.turned();
    expect(time.stalledMs).toBe(0);
    clock.stall(100);
    time.now();
    expect(time.stalledMs).toBe(0);
    clock.stall(400);
    time.now();
    expect(time.stalledMs).toBe(400);
    time.turned();
    expect(time.stalledMs).toBe(400);
    clock.stall(150);
    time.turned();
    expect(time.stalledMs).toBe(450);
  });
});

describe('recentStallMs', () => {
  it('is the present stall, or the newest one for a second after its end, and 0 while the loop turns', () => {
    const clock = new FakeClock();
    const time = new ObservedTime(clock);
    expect(time.recentStallMs()).toBe(0);
    time.turned();
    clock.stall(100);
    expect(time.recentStallMs()).toBe(0);
    time.turned();
    clock.stall(5100);
    expect(time.recentStallMs()).toBe(5000);
    time.turned();
    clock.stall(100);
    time.turned();
    expect(time.recentStallMs()).toBe(5000);
    for (let turns = 0; turns < 9; turns += 1) {
      clock.stall(100);
      time.turned();
    }
    expect(time.recentStallMs()).toBe(0);
  });
});
