import type { Clock } from './clock.ts';

/** Allowance of one key: `burst` at once, then `perSecond`. */
export interface RateLimit {
  readonly perSecond: number;
  readonly burst: number;
}

/** Largest number of remembered keys. One more removes the key with the oldest use, which then starts afresh. */
export const MAX_RATE_KEYS = 50_000;

/** Keys that one call looks at to forget them. More than it may add, so that those of a burst go in time. */
const LOOKED_AT = 2;

interface Bucket {
  tokens: number;
  readonly limit: RateLimit;
  at: number;
  /** Number of refusals in a row. */
  refusals: number;
}

/** A token bucket for each key, with a bounded number of keys. It forgets a bucket that is full again: a new one is full too. */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #maxKeys: number;
  /** In the order of their last use. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock, maxKeys = MAX_RATE_KEYS) {
    this.#clock = clock;
    this.#maxKeys = maxKeys;
  }

  /** Takes one token. Returns 0, or the whole seconds until the next token. */
  take(key: string, limit: RateLimit): number {
    const now = this.#clock.monotonic();
    const bucket = this.#buckets.get(key) ?? { tokens: limit.burst, limit, at: now, refusals: 0 };
    this.#buckets.delete(key);
    this.#forgetFull(now);
    bucket.tokens = Math.min(limit.burst, bucket.tokens + ((now - bucket.at) / 1000) * limit.perSecond);
    bucket.at = now;
    if (this.#buckets.size >= this.#maxKeys) this.#forgetOldest();
    this.#buckets.set(key, bucket);
    if (bucket.tokens < 1) {
      bucket.refusals += 1;
      return Math.max(1, Math.ceil((1 - bucket.tokens) / limit.perSecond));
    }
    bucket.tokens -= 1;
    bucket.refusals = 0;
    return 0;
  }

  /** How often in a row {@link take} refused this key. */
  refusalsInARow(key: string): number {
    return this.#buckets.get(key)?.refusals ?? 0;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Those that were not used for longest come first. */
  #forgetFull(now: number): void {
    let looked = 0;
    for (const [key, { tokens, at, limit }] of this.#buckets) {
      const isFull = tokens + ((now - at) / 1000) * limit.perSecond >= limit.burst;
      looked += 1;
      if (!isFull || looked > LOOKED_AT) return;
      this.#buckets.delete(key);
    }
  }

  #forgetOldest(): void {
    for (const key of this.#buckets.keys()) {
      this.#buckets.delete(key);
      return;
    }
  }
}
