import type { EndedPeriod } from '../../protocol/periods.ts';
import type { PresenceOptions } from './options.ts';

/** Counts the users who are online in the deployment, and reports each period that begins or ends. */
export class OnlineUsers {
  readonly #options: Pick<PresenceOptions, 'counters' | 'log' | 'ledger'>;
  #count = 0;

  constructor(options: Pick<PresenceOptions, 'counters' | 'log' | 'ledger'>) {
    this.#options = options;
  }

  get count(): number {
    return this.#count;
  }

  /** The count that the store gave with a renewal. */
  counted(count: number): void {
    this.#count = count;
  }

  periodBegan(): void {
    this.#count += 1;
    this.#options.counters.logins += 1;
  }

  periodEnded({ userId, period, epoch, logoutTime, reason }: EndedPeriod): void {
    const { counters, log, ledger } = this.#options;
    this.#count = Math.max(0, this.#count - 1);
    counters.logouts[reason] += 1;
    log.info({ event: 'logged-out', userId, period, epoch, cause: reason, logoutTime }, 'user logged out');
    ledger.wake();
  }
}
