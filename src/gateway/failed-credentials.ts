import type { Clock } from '../lib/clock.ts';
import { countedAddress } from '../lib/counted-address.ts';
import { oldestKeys } from '../lib/oldest-keys.ts';

/** Number of failed credentials that one address may have within the window. Beyond it, each one gets 429. */
export const MAX_FAILURES_PER_WINDOW = 100;
export const FAILURE_WINDOW_MS = 10_000;
/** Largest number of remembered addresses. Beyond it, the oldest ones are removed. */
const MAX_REMEMBERED_ADDRESSES = 10_000;

/**
 * Counts forged tokens and wrong service keys, by handshake and by HTTP. It limits only failures. A valid credential
 * passes from every address, because many users may share one.
 */
export class FailedCredentials {
  readonly #clock: Clock;
  readonly #byAddress = new Map<string, { count: number; readonly until: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A credential from `address` failed. Returns 0, or the whole seconds to wait if too many failed. */
  note(address: string): number {
    const now = this.#clock.monotonic();
    const key = countedAddress(address);
    const known = this.#byAddress.get(key);
    if (known !== undefined && now < known.until) {
      if (known.count >= MAX_FAILURES_PER_WINDOW) return Math.ceil((known.until - now) / 1000);
      known.count += 1;
      return 0;
    }
    this.#byAddress.delete(key);
    if (this.#byAddress.size >= MAX_REMEMBERED_ADDRESSES) this.#forgetOldest();
    this.#byAddress.set(key, { count: 1, until: now + FAILURE_WINDOW_MS });
    return 0;
  }

  get size(): number {
    return this.#byAddress.size;
  }

  #forgetOldest(): void {
    for (const address of oldestKeys(this.#byAddress)) this.#byAddress.delete(address);
  }
}
