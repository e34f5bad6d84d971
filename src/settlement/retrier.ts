import type { Clock } from '../lib/clock.ts';

export interface RetrierOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly onFailure: (error: unknown, attempt: number) => void;
}

const FIRST_BACKOFF_MS = 100;
/** With full jitter a try comes every 2.5 s on average, so that an hour's backlog starts to drain at once. */
const MAX_BACKOFF_MS = 5000;

/** Tries until it works or is stopped: capped exponential backoff with full jitter. */
export class Retrier {
  readonly #options: RetrierOptions;
  readonly #sleepers = new Set<() => void>();
  #stopped = false;

  constructor(options: RetrierOptions) {
    this.#options = options;
  }

  /** Answers false where it was stopped before `work` went through. `work` is always tried once. */
  async until(work: () => Promise<void>): Promise<boolean> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await work();
        return true;
      } catch (error) {
        this.#options.onFailure(error, attempt);
      }
      if (this.#stopped) return false;
      const capMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(attempt - 1, 16));
      await this.#sleep(this.#options.random() * capMs);
      if (this.#stopped) return false;
    }
  }

  /** Ends waiting tries; later ones get a single attempt. */
  stop(): void {
    this.#stopped = true;
    for (const wake of this.#sleepers) wake();
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        timer.cancel();
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = this.#options.clock.after(ms, wake);
      this.#sleepers.add(wake);
    });
  }
}
