import type { ObservedTime } from '../heartbeat/observed-time.ts';

const SECOND_MS = 1000;

/**
 * The token bucket of one client. Its numbers are fields of the connection, because an object of its own would cost more memory.
 */
export interface RateBucket {
  rateCredit: number;
  /** Monotonic ms of the newest message. */
  rateAt: number;
  /** Total stalls of the process until then, in ms. */
  rateStalledMs: number;
}

/**
 * Counts one more message of a client. Returns whether it exceeds `limit` messages in one second. The bucket holds credit for one
 * second and fills with real time. While this process stands still, client messages collect and then arrive all at once. So a
 * stall gives extra credit (rule HB5), which shrinks again in a time as long as the stall.
 */
export function isOverRate(bucket: RateBucket, limit: number, time: ObservedTime): boolean {
  const perMs = limit / SECOND_MS;
  const { monotonic, stalledMs } = time;
  const stalled = (stalledMs - bucket.rateStalledMs) * perMs;
  const passed = (monotonic - bucket.rateAt) * perMs - stalled;
  bucket.rateAt = monotonic;
  bucket.rateStalledMs = stalledMs;
  const credit = bucket.rateCredit;
  const left = credit > limit ? Math.max(limit, credit - passed) : Math.min(limit, credit + passed);
  bucket.rateCredit = left + stalled - 1;
  return bucket.rateCredit < 0;
}
