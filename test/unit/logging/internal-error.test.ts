import { describe, expect, it } from 'vitest';
import { guardedClock } from '../../../src/lib/clock.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { countingErrors, inBackground, logInternalError } from '../../../src/logging/internal-error.ts';
import type { Log, LogFields } from '../../../src/logging/log.ts';

function recorder() {
  const lines: LogFields[] = [];
  const note = (fields: LogFields): void => void lines.push(fields);
  const log: Log = { debug: note, info: note, warn: note, error: note };
  const clock = new FakeClock();
  const counts = new Map<string, number>();
  const counting = countingErrors(log, { counts, monotonic: () => clock.monotonic() });
  return { lines, clock, counts, log: counting };
}

describe('caught bugs', () => {
  it('are counted by their place, even those in other log lines', () => {
    const { log, counts, lines } = recorder();
    logInternalError(log, { where: 'bus', error: 1, fields: { channel: 'c' } });
    log.error({ event: 'internal-error' }, 'elsewhere');
    log.error({ event: 'stopped' }, 'no bug');
    expect([...counts]).toEqual([
      ['bus', 1],
      ['other', 1],
    ]);
    expect(lines[0]).toEqual({ event: 'internal-error', where: 'bus', channel: 'c', err: 1 });
    expect(lines).toHaveLength(3);
  });

  it('write ten lines a second for one place, and count all', () => {
    const { log, counts, lines, clock } = recorder();
    for (let count = 0; count < 500; count += 1) logInternalError(log, { where: 'socket', error: count });
    logInternalError(log, { where: 'timer', error: 0 });
    expect(lines).toHaveLength(11);
    clock.advance(1000);
    logInternalError(log, { where: 'socket', error: 0 });
    expect(lines).toHaveLength(12);
    expect(counts.get('socket')).toBe(501);
  });

  it('in background work are logged', async () => {
    const { log, lines } = recorder();
    inBackground(log, Promise.reject(new Error('a bug')));
    inBackground(log, Promise.resolve());
    await Promise.resolve();
    expect(lines).toMatchObject([{ where: 'background', err: { message: 'a bug' } }]);
  });

  it('in timers go to the guard, and repeated work continues', () => {
    const real = new FakeClock();
    const failed: unknown[] = [];
    const clock = guardedClock(real, (error) => failed.push(error));
    let runs = 0;
    const broken = (): never => {
      runs += 1;
      throw new Error('a bug');
    };
    clock.after(10, broken);
    clock.defer(broken);
    const ticker = clock.every(10, broken);
    real.advance(30);
    ticker.cancel();
    real.advance(100);
    expect([runs, failed.length]).toEqual([5, 5]);
    expect([clock.monotonic(), clock.now()]).toEqual([real.monotonic(), real.now()]);
  });
});
