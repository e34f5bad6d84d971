import type { Clock, Timer } from './clock.ts';
import { oldestKeys } from './oldest-keys.ts';

/** Allowance of one key: `burst` at once, then `perSecond`. */
export interface RateLimit {
  readonly perSecond: number;
  readonly burst: number;
}

/** Largest number of remembered keys. Beyond it, the least recently used keys are removed, and start with a full bucket. */
export const MAX_RATE_KEYS = 50_000;

/** How often full buckets are removed, while there are buckets. */
const SWEEP_MS = 1000;
/** In tokens. The missing part of a bucket comes from a difference of two times, which is not exact. */
const INEXACT = 1e-4;

/**
 * A token bucket for each key, with a bounded number of keys. It stores only the time at which a bucket is full again. A full
 * bucket needs no entry, because a new bucket is full too.
 */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #maxKeys: number;
  /** When the bucket of a key is full again (monotonic ms), ordered by last use. */
  readonly #fullAt = new Map<string | number, number>();
  /** Number of consecutive refusals of a key. Keys without a refusal have no entry. */
  readonly #refusals = new Map<string | number, number>();

  #nextSweep: Timer | undefined;

  constructor(clock: Clock, maxKeys = MAX_RATE_KEYS) {
    this.#clock = clock;
    this.#maxKeys = maxKeys;
  }

  /** Takes one token. Returns 0, or the whole seconds until the next token. */
  take(key: string | number, { perSecond, burst }: RateLimit): number {
    const now = this.#clock.monotonic();
    const known = this.#fullAt.get(key);
    if (known !== undefined) this.#fullAt.delete(key);
    if (this.#fullAt.size >= this.#maxKeys) this.#forgetOldest();
    const missing = known === undefined ? 0 : (Math.max(0, known - now) * perSecond) / 1000;
    const tokens = burst - missing;
    this.#nextSweep ??= this.#clock.after(SWEEP_MS, () => this.#forgetFull());
    const isRefused = tokens < 1 - INEXACT;
    this.#fullAt.set(key, now + ((missing + (isRefused ? 0 : 1)) / perSecond) * 1000);
    if (!isRefused) {
      this.#refusals.delete(key);
      return 0;
    }
    this.#refusals.set(key, this.refusalsInARow(key) + 1);
    return Math.max(1, Math.ceil((1 - INEXACT - tokens) / perSecond));
  }

  /** Number of consecutive refusals of this key by {@link take}. */
  refusalsInARow(key: string | number): number {
    return this.#refusals.get(key) ?? 0;
  }

  get size(): number {
    return this.#fullAt.size;
  }

  /** The least recently used keys come first. */
  #forgetFull(): void {
    const now = this.#clock.monotonic();
    for (const [key, fullAt] of this.#fullAt) {
      if (fullAt > now) break;
      this.#forget(key);
    }
    this.#nextSweep =
      this.#fullAt.size === 0 ? undefined : this.#clock.after(SWEEP_MS, () => this.#forgetFull());
  }

  #forgetOldest(): void {
    for (const key of oldestKeys(this.#fullAt)) this.#forget(key);
  }

  #forget(key: string | number): void {
    this.#fullAt.delete(key);
    this.#refusals.delete(key);
  }
}
