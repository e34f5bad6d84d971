import type { Clock } from '../lib/clock.ts';

export interface RetrierOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly onFailure: (error: unknown, attempt: number) => void;
}

const FIRST_BACKOFF_MS = 100;
/** With full jitter a try comes every 2.5 s on average, so that the backlog of an outage drains soon after it. */
const MAX_BACKOFF_MS = 5000;

/** Retries until success or a stop, with capped exponential backoff and full jitter. */
export class Retrier {
  readonly #options: RetrierOptions;
  readonly #sleepers = new Set<() => void>();
  #stopped = false;

  constructor(options: RetrierOptions) {
    this.#options = options;
  }

  /** Returns false if it was stopped before `work` succeeded. It always tries `work` once. */
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

  /** Ends all waits. Later calls get a single attempt. */
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
