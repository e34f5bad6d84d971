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

/** Whether SQL answers, asked each second: new logins are sent elsewhere while it does not. */
export class SqlHealth {
  readonly #options: SqlHealthOptions;
  #available = true;
  #ticker: Timer | undefined;
  #checking: Promise<void> | undefined;

  constructor(options: SqlHealthOptions) {
    this.#options = options;
  }

  get available(): boolean {
    return this.#available;
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

  async #check(): Promise<void> {
    const { store, log } = this.#options;
    try {
      await store.ping();
      if (!this.#available) log.info({ event: 'settlement-restored' }, 'the database answers again');
      this.#available = true;
    } catch (error) {
      if (this.#available) {
        const cause = describeError(error);
        log.warn(
          { event: 'settlement-unavailable', cause },
          'the database does not answer: logins that open a period are refused, settlements wait',
        );
      }
      this.#available = false;
    }
  }
}
