import { describe, expect, it } from 'vitest';
import { Coalescer } from '../../../src/lib/coalescer.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';

function build(spacingMs = 20) {
  const clock = new FakeClock();
  const finishers: (() => void)[] = [];
  const began: number[] = [];
  const coalescer = new Coalescer({
    clock,
    spacingMs,
    async run() {
      began.push(clock.monotonic());
      await new Promise<void>((resolve) => finishers.push(resolve));
    },
  });
  return { clock, began, coalescer, finish: () => finishers.shift()?.() };
}

describe('Coalescer', () => {
  it('runs at once for the first call, and once more for all calls during that run', async () => {
    const { clock, began, coalescer, finish } = build();
    coalescer.ask();
    expect(began).toEqual([0]);
    await clock.advanceAsync(50);
    for (let call = 0; call < 100; call += 1) coalescer.ask();
    expect(began).toEqual([0]);
    finish();
    await clock.advanceAsync(0);
    expect(began).toEqual([0, 50]);
    finish();
    await clock.advanceAsync(100);
    expect(began).toEqual([0, 50]);
  });

  it('a burst of calls gets one run in each interval', async () => {
    const { clock, began, coalescer, finish } = build(20);
    for (let ms = 0; ms < 95; ms += 1) {
      coalescer.ask();
      finish();
      await clock.advanceAsync(1);
    }
    expect(began).toEqual([0, 20, 40, 60, 80]);
  });

  it('a call after a quiet time runs at once', async () => {
    const { clock, began, coalescer, finish } = build(20);
    coalescer.ask();
    finish();
    await clock.advanceAsync(500);
    coalescer.ask();
    expect(began).toEqual([0, 500]);
  });

  it('starts no run after a stop', async () => {
    const { clock, began, coalescer, finish } = build(20);
    coalescer.ask();
    coalescer.ask();
    coalescer.stop();
    finish();
    await clock.advanceAsync(100);
    expect(began).toEqual([0]);
  });
});
