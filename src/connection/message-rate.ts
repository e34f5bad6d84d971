const WINDOW_MS = 1000;

/** Counts a client's messages, second by second. Times are monotonic ms. */
export class MessageRate {
  readonly #limit: number;
  #start: number;
  #count = 0;

  /** `limit`: messages in one second. */
  constructor(limit: number, now: number) {
    this.#limit = limit;
    this.#start = now;
  }

  /** Counts one more message; answers whether it is beyond the limit. */
  isOver(now: number): boolean {
    if (now - this.#start >= WINDOW_MS) {
      this.#start = now;
      this.#count = 0;
    }
    this.#count += 1;
    return this.#count > this.#limit;
  }
}
