import { describe, expect, it } from 'vitest';
import {
  FAILURE_WINDOW_MS,
  FailedCredentials,
  MAX_FAILURES_PER_WINDOW,
} from '../../../src/gateway/failed-credentials.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';

describe('failed credentials', () => {
  it('get 401 up to the limit of the window, then 429 until its end', () => {
    const clock = new FakeClock();
    const failed = new FailedCredentials(clock);
    for (let count = 0; count < MAX_FAILURES_PER_WINDOW; count += 1) expect(failed.note('192.0.2.1')).toBe(0);
    clock.advance(500);
    expect(failed.note('192.0.2.1')).toBe(10);
    expect(failed.note('192.0.2.2')).toBe(0);
    clock.advance(FAILURE_WINDOW_MS - 500);
    expect(failed.note('192.0.2.1')).toBe(0);
  });

  it('are remembered for a bounded number of addresses', () => {
    const failed = new FailedCredentials(new FakeClock());
    for (let address = 0; address < 30_000; address += 1) failed.note(`a${address}`);
    expect(failed.size).toBe(10_000);
  });
});
