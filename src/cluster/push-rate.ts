import type { Clock } from '../lib/clock.ts';

/** Largest number of users whose rate is remembered. Beyond it, all counts of the present second are dropped. */
const MAX_USERS = 200_000;
const WINDOW_MS = 1000;

/** At most `perSecond` messages to one user in each second (`LINGXI_PUSH_RATE_PER_USER`); 0: no limit. */
export class PushRate {
  readonly #perSecond: number;
  readonly #clock: Clock;
  readonly #sent = new Map<number, number>();
  #windowStart = 0;

  constructor(perSecond: number, clock: Clock) {
    this.#perSecond = perSecond;
    this.#clock = clock;
  }

  /** Counts one message. False: over the limit. */
  admit(userId: number): boolean {
    if (this.#perSecond === 0) return true;
    const now = this.#clock.monotonic();
    if (now - this.#windowStart >= WINDOW_MS || this.#sent.size >= MAX_USERS) {
      this.#windowStart = now;
      this.#sent.clear();
    }
    const sent = this.#sent.get(userId) ?? 0;
    if (sent >= this.#perSecond) return false;
    this.#sent.set(userId, sent + 1);
    return true;
  }
}
