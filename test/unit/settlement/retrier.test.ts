import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { Retrier } from '../../../src/settlement/retrier.ts';

/** Times in milliseconds of the attempts for work that never succeeds, within `forMs`. */
async function triesWith(random: () => number, forMs: number): Promise<readonly number[]> {
  const clock = new FakeClock();
  const start = clock.monotonic();
  const tries: number[] = [];
  const retrier = new Retrier({ clock, random, onFailure: () => undefined });
  const ended = retrier.until(() => {
    tries.push(clock.monotonic() - start);
    return Promise.reject(new Error('away'));
  });
  await clock.advanceAsync(forMs, 1);
  retrier.stop();
  expect(await ended).toBe(false);
  return tries;
}

describe('Retrier', () => {
  test('[ST7] waits a random part of 100, 200, 400 … ms, so that nodes do not retry together', async () => {
    expect(await triesWith(() => 1 - Number.EPSILON, 1_600)).toEqual([0, 100, 300, 700, 1_500]);
    expect(await triesWith(() => 0.5, 800)).toEqual([0, 50, 150, 350, 750]);
    expect(await triesWith(() => 0.1, 160)).toEqual([0, 10, 30, 70, 150]);
  });

  test('[ST7] each wait has its own random number', async () => {
    const numbers = [0.5, 0.1, 0.25];
    expect(await triesWith(() => numbers.shift() ?? 1, 200)).toEqual([0, 50, 70, 170]);
  });

  test('[ST7] no wait is longer than 5 s', async () => {
    const tries = await triesWith(() => 0.99, 60_000);
    const waits = tries.slice(1).map((at, index) => at - (tries[index] ?? 0));
    expect(Math.max(...waits)).toBe(4_950);
  });
});
