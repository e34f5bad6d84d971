import type { Opening, PeriodKey, PeriodRow, UserFacts } from '../../protocol/periods.ts';

/** SQL as presence needs it; joined to settlement by the composition root. Rejects where SQL does not answer. */
export interface Ledger {
  /** Whether the user exists, and the newest period. */
  lookup(userId: number): Promise<UserFacts>;
  /**
   * Writes the row of an opened period and, where configured, resets the user's time (rules ST4, ST9). Rejects with
   * {@link RefusedForGood} where no later try can succeed.
   */
  open(opening: Opening): Promise<void>;
  /** Writes the row as soon as SQL answers again. */
  openLater(opening: Opening): void;
  /** This node holds the period from now on, which another opened: its row is told soon. */
  moved(period: PeriodKey): void;
  /** Settles an open row of which presence knows nothing, before the user's next period, begun at `nextLoginAt`, opens. */
  reconcile(row: PeriodRow, nextLoginAt: number): Promise<void>;
  /** Resolves once the period's duty is settled, or after `timeoutMs` (rule ST6). */
  settled(period: { readonly userId: number; readonly period: number }, timeoutMs: number): Promise<void>;
  newestPeriods(userIds: readonly number[]): Promise<ReadonlyMap<number, PeriodRow>>;
  /** Whether each period is closed. */
  areSettled(periods: readonly PeriodKey[]): Promise<readonly boolean[]>;
  /** A duty was recorded: settle it soon. */
  wake(): void;
}
