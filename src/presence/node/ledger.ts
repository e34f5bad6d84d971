import type { Opening, PeriodKey, PeriodRow, UserFacts } from '../../protocol/periods.ts';

/** SQL as presence needs it. The composition connects it to settlement. Calls reject if SQL does not answer. */
export interface Ledger {
  /** Whether the user exists, and the newest period. */
  lookup(userId: number): Promise<UserFacts>;
  /**
   * Writes the row of an opened period and, if so configured, resets the user's time (rules ST4, ST9). Rejects with
   * {@link RefusedForGood} if no later try can succeed.
   */
  open(opening: Opening): Promise<void>;
  /** Writes the row as soon as SQL answers again. */
  openLater(opening: Opening): void;
  /** The login of this opening was refused: its row must not stay, if SQL has it or commits it later. */
  giveUp(opening: Opening): void;
  /** This node now holds a period that another node opened: the row gets the name of this node soon. */
  moved(period: PeriodKey): void;
  /** Settles an open row that presence does not know, before the user's next period opens, which began at `nextLoginAt`. */
  reconcile(row: PeriodRow, nextLoginAt: number): Promise<void>;
  /** Resolves once the period's duty is settled, or after `timeoutMs` (rule ST6). */
  settled(period: { readonly userId: number; readonly period: number }, timeoutMs: number): Promise<void>;
  newestPeriods(userIds: readonly number[]): Promise<ReadonlyMap<number, PeriodRow>>;
  /** Whether each period is closed. */
  areSettled(periods: readonly PeriodKey[]): Promise<readonly boolean[]>;
  /** A duty was recorded: settle it soon. */
  wake(): void;
}
