import { describe, expect, it } from 'vitest';
import { withDeadline } from '../../../src/lib/deadline.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';

describe('work with a deadline', () => {
  it('gives its value, and leaves no timer', async () => {
    const clock = new FakeClock();
    let signal: AbortSignal | undefined;
    const value = await withDeadline(clock, 100, (given) => {
      signal = given;
      return Promise.resolve('done');
    });
    await clock.advanceAsync(1_000);
    expect([value, signal?.aborted]).toEqual(['done', false]);
  });

  it('rejects at the deadline, although the work ignores its signal, and aborts the signal', async () => {
    const clock = new FakeClock();
    let signal: AbortSignal | undefined;
    const outcome = withDeadline(clock, 100, (given) => {
      signal = given;
      return new Promise<never>(() => undefined);
    }).catch((error: unknown) => String(error));
    await clock.advanceAsync(99);
    expect(signal?.aborted).toBe(false);
    await clock.advanceAsync(1);
    expect(await outcome).toBe('Error: no answer within 100 ms');
    expect(signal?.aborted).toBe(true);
  });
});
