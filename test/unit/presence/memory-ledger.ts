import type { Clock } from '../../../src/lib/clock.ts';
import type { Ledger } from '../../../src/presence/node/ledger.ts';
import type { PresenceStore } from '../../../src/presence/store/port.ts';
import type { Duty, Opening, PeriodKey, PeriodRow, UserFacts } from '../../../src/protocol/periods.ts';

/** SQL as presence sees it, in memory: rows, and duties. A wake settles the duties at once. */
export class MemoryLedger implements Ledger {
  readonly rows = new Map<string, PeriodRow>();
  readonly settlements: Duty[] = [];
  readonly late: Opening[] = [];
  readonly givenUp: Opening[] = [];
  readonly reconciled: PeriodRow[] = [];
  /** Periods that the node has reported as its own. */
  readonly moves: PeriodKey[] = [];
  readonly missing = new Set<number>();
  /** Every call fails. */
  down = false;
  /** Openings get no answer. */
  hanging = false;
  /** Nobody takes the duties. */
  idle = false;
  /** Called with each opening when it is committed. */
  opened: (opening: Opening) => void = () => undefined;
  readonly #store: PresenceStore;
  readonly #clock: Clock;

  constructor(store: PresenceStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  lookup(userId: number): Promise<UserFacts> {
    if (this.down) return Promise.reject(new Error('SQL down'));
    return Promise.resolve({
      userId,
      exists: !this.missing.has(userId),
      canExist: true,
      newest: this.#newest(userId),
    });
  }

  open(opening: Opening): Promise<void> {
    if (this.hanging) return new Promise(() => undefined);
    if (this.down) return Promise.reject(new Error('SQL down'));
    const row = { ...opening, lastSeenAt: null, logoutAt: null, reason: null, settledAt: null };
    this.rows.set(`${opening.userId}:${opening.period}`, row);
    this.opened(opening);
    return Promise.resolve();
  }

  openLater(opening: Opening): void {
    this.late.push(opening);
  }

  giveUp(opening: Opening): void {
    this.givenUp.push(opening);
  }

  reconcile(row: PeriodRow): Promise<void> {
    this.reconciled.push(row);
    this.rows.set(`${row.userId}:${row.period}`, {
      ...row,
      settledAt: this.#clock.now(),
      reason: 'reconciled',
    });
    return Promise.resolve();
  }

  settled(_period: { readonly userId: number; readonly period: number }, timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.idle) this.#clock.after(timeoutMs, resolve);
      else void this.#settleAll().then(resolve);
    });
  }

  newestPeriods(userIds: readonly number[]): Promise<ReadonlyMap<number, PeriodRow>> {
    if (this.down) return Promise.reject(new Error('SQL down'));
    const found = userIds.flatMap((userId) => this.#newest(userId) ?? []);
    return Promise.resolve(new Map(found.map((row) => [row.userId, row])));
  }

  areSettled(periods: readonly PeriodKey[]): Promise<readonly boolean[]> {
    if (this.down) return Promise.reject(new Error('SQL down'));
    return Promise.resolve(
      periods.map(({ userId, period }) => this.rows.get(`${userId}:${period}`)?.settledAt != null),
    );
  }

  moved(period: PeriodKey): void {
    this.moves.push(period);
  }
  wake(): void {
    if (!this.idle) void this.#settleAll();
  }

  async #settleAll(): Promise<void> {
    const duties = await this.#store.takeDuties(500);
    for (const duty of duties) {
      const { userId, period, loginAt, logoutAt, lastSeenAt, reason, node } = duty;
      const settledAt = this.#clock.now();
      this.rows.set(`${userId}:${period}`, {
        ...{ userId, period, loginAt, logoutAt, lastSeenAt, reason, node, settledAt },
      });
      this.settlements.push(duty);
    }
    await this.#store.ackDuties(duties);
  }

  #newest(userId: number): PeriodRow | undefined {
    let newest: PeriodRow | undefined;
    for (const row of this.rows.values())
      if (row.userId === userId && row.period > (newest?.period ?? 0)) newest = row;
    return newest;
  }
}
