import type { ObservedTime } from '../heartbeat/observed-time.ts';

const SECOND_MS = 1000;

/** The token bucket of one client. Its numbers are part of the connection: an object of their own would be the larger half. */
export interface RateBucket {
  rateCredit: number;
  /** Monotonic ms of the newest message. */
  rateAt: number;
  /** Stalls of the process up to then, in ms. */
  rateStalledMs: number;
}

/**
 * Counts one more message of a client; answers whether it is beyond `limit` messages in one second. Credit for one second
 * fits into the bucket, and it grows with real time. What a client sent while this process stood still arrives at once when
 * it goes on; so a stall gives its own credit on top (rule HB5), which shrinks again in as much time as the stall took.
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
