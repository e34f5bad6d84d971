import type { Opening, PeriodKey, PeriodRow, UserFacts } from '../../protocol/periods.ts';

/** What presence needs of SQL. Settlement implements it. Calls reject if SQL does not answer. */
export interface Ledger {
  /** Returns whether the user exists, and the newest period. */
  lookup(userId: number): Promise<UserFacts>;
  /**
   * Writes the row of an opened period and, if so configured, resets the user's time (rules ST4, ST9). Rejects with
   * {@link RefusedForGood} if no later try can succeed.
   */
  open(opening: Opening): Promise<void>;
  /** Writes the row as soon as SQL answers again. */
  openLater(opening: Opening): void;
  /** The login of this opening was refused. Deletes the row, also if SQL commits it later. */
  giveUp(opening: Opening): void;
  /** This node now holds a period that another node opened. Writes the name of this node to the row soon. */
  moved(period: PeriodKey): void;
  /** Settles an open row that presence does not know. The user's next period began at `nextLoginAt`. */
  reconcile(row: PeriodRow, nextLoginAt: number): Promise<void>;
  /** Resolves once the period's duty is settled, or after `timeoutMs` (rule ST6). */
  settled(period: { readonly userId: number; readonly period: number }, timeoutMs: number): Promise<void>;
  newestPeriods(userIds: readonly number[]): Promise<ReadonlyMap<number, PeriodRow>>;
  /** For each period, whether it is closed. */
  areSettled(periods: readonly PeriodKey[]): Promise<readonly boolean[]>;
  /** A duty was recorded: settles it soon. */
  wake(): void;
}
