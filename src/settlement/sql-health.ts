import type { Clock, Timer } from '../lib/clock.ts';
import type { Log } from '../logging/log.ts';
import { describeError } from './sql-errors.ts';
import type { UserStore } from './user-store.ts';

const CHECK_INTERVAL_MS = 1000;

export interface SqlHealthOptions {
  readonly store: Pick<UserStore, 'ping'>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Whether SQL works. It asks each second whether SQL answers, and learns whether this node's sign of life was written. A
 * full or read-only database answers but takes no writes.
 */
export class SqlHealth {
  readonly #options: SqlHealthOptions;
  #answers = true;
  #takesWrites = true;
  #ticker: Timer | undefined;
  #checking: Promise<void> | undefined;

  constructor(options: SqlHealthOptions) {
    this.#options = options;
  }

  get available(): boolean {
    return this.#answers && this.#takesWrites;
  }

  start(): void {
    this.#ticker = this.#options.clock.every(CHECK_INTERVAL_MS, () => {
      this.#checking ??= this.#check().finally(() => {
        this.#checking = undefined;
      });
    });
  }

  async stop(): Promise<void> {
    this.#ticker?.cancel();
    await this.#checking;
  }

  /** A regular write succeeded, or failed with `error`. */
  wrote(error?: unknown): void {
    this.#change(error, () => {
      this.#takesWrites = error === undefined;
    });
  }

  async #check(): Promise<void> {
    const error = await this.#options.store.ping().then(
      () => undefined,
      (failure: unknown) => failure ?? new Error('unknown'),
    );
    this.#change(error, () => {
      this.#answers = error === undefined;
    });
  }

  #change(error: unknown, apply: () => void): void {
    const { log } = this.#options;
    const wasAvailable = this.available;
    apply();
    if (wasAvailable && !this.available)
      log.warn(
        { event: 'settlement-unavailable', cause: describeError(error) },
        'the database does not answer or takes no writes: logins that open a period are refused, settlements wait',
      );
    if (!wasAvailable && this.available)
      log.info({ event: 'settlement-restored' }, 'the database answers and takes writes again');
  }
}
