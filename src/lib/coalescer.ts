import type { Clock, Timer } from './clock.ts';

export interface CoalescerOptions {
  /** Must not reject: it handles its own failures. */
  readonly run: () => Promise<void>;
  readonly clock: Pick<Clock, 'after' | 'monotonic'>;
  /** Shortest time from the start of one run to the start of the next, in ms. */
  readonly spacingMs: number;
}

/**
 * Merges calls into runs. The first call runs at once. All calls that come during a run share one more run. So for every call, a
 * run begins after it.
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

  /** Prevents further runs. */
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
