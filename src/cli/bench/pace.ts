import { dueCount, intendedMs } from './statistics.ts';

/** Timers are no finer. All events that are due between two of them run together, at most this late. */
const TICK_MS = 1;

/**
 * Calls `act` for each event of a steady rate when it is due. The argument is the due time, by `performance.now()`. A slow server
 * does not lower the rate. Resolves with the number of events.
 */
export function atPace(
  perSecond: number,
  seconds: number,
  act: (intendedAt: number, index: number) => void,
): Promise<number> {
  const total = Math.floor(perSecond * seconds);
  const start = performance.now();
  let done = 0;
  return new Promise((resolve, reject) => {
    const timer = setInterval(() => {
      try {
        const due = Math.min(total, dueCount(performance.now() - start, perSecond));
        for (; done < due; done += 1) act(start + intendedMs(done, perSecond), done);
      } catch (error) {
        clearInterval(timer);
        reject(error instanceof Error ? error : new Error(String(error)));
        return;
      }
      if (done < total) return;
      clearInterval(timer);
      resolve(total);
    }, TICK_MS);
  });
}
