import type { Clock, Timer } from './clock.ts';

export interface CoalescerOptions {
  /** Must not reject: what fails in it is its own business. */
  readonly run: () => Promise<void>;
  readonly clock: Pick<Clock, 'after' | 'monotonic'>;
  /** Milliseconds from the beginning of one run to that of the next, at least. */
  readonly spacingMs: number;
}

/**
 * Runs something for any number of calls: at once for the first, and however many come while a run is under way, one
 * more run after it serves them all. Every call is followed by a run that began after it.
 */
export class Coalescer {
  readonly #options: CoalescerOptions;
  #running = false;
  #asked = false;
  #stopped = false;
  #waiting: Timer | undefined;
  #lastBegan = Number.NEGATIVE_INFINITY;

  constructor(options: CoalescerOptions) {
    this.#options = options;
  }

  ask(): void {
    if (this.#stopped) return;
    this.#asked = true;
    this.#next();
  }

  /** Begins no further run. */
  stop(): void {
    this.#stopped = true;
    this.#asked = false;
    this.#waiting?.cancel();
  }

  #next(): void {
    if (!this.#asked || this.#running || this.#waiting !== undefined) return;
    const { clock, spacingMs } = this.#options;
    const wait = this.#lastBegan + spacingMs - clock.monotonic();
    if (wait > 0) {
      this.#waiting = clock.after(wait, () => {
        this.#waiting = undefined;
        this.#next();
      });
      return;
    }
    this.#asked = false;
    this.#running = true;
    this.#lastBegan = clock.monotonic();
    void this.#options.run().finally(() => {
      this.#running = false;
      this.#next();
    });
  }
}
