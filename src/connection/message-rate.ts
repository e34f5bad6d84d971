import type { ObservedTime } from '../heartbeat/observed-time.ts';

const SECOND_MS = 1000;

/**
 * A token bucket for the messages of one client. Credit for one second fits in, and it grows with real time. What a client
 * sent while this process stood still arrives at once when it goes on; so a stall gives its own credit on top (rule HB5),
 * which shrinks again in as much time as the stall took.
 */
export class MessageRate {
  readonly #capacity: number;
  #credit: number;
  /** Monotonic ms of the newest message. */
  #at: number;
  /** Stalls of the process up to then, in ms. */
  #stalledMs: number;

  /** `limit`: messages in one second. */
  constructor(limit: number, time: ObservedTime) {
    this.#capacity = limit;
    this.#credit = limit;
    this.#at = time.monotonic;
    this.#stalledMs = time.stalledMs;
  }

  /** Counts one more message; answers whether it is beyond the limit. */
  isOver(time: ObservedTime): boolean {
    const perMs = this.#capacity / SECOND_MS;
    const stalled = (time.stalledMs - this.#stalledMs) * perMs;
    const passed = (time.monotonic - this.#at) * perMs - stalled;
    this.#at = time.monotonic;
    this.#stalledMs = time.stalledMs;
    const left =
      this.#credit > this.#capacity
        ? Math.max(this.#capacity, this.#credit - passed)
        : Math.min(this.#capacity, this.#credit + passed);
    this.#credit = left + stalled - 1;
    return this.#credit < 0;
  }
}
