import type { Duty, Opening, PeriodKey, PeriodRow, UserFacts } from '../protocol/periods.ts';

/**
 * SQL as settlement needs it. Every write is one transaction for the whole batch; batches hold at most 1,000 rows.
 * A rejected promise means that nothing is known to be written and the call may be repeated: each one is
 * idempotent.
 */
export interface UserStore {
  /** Facts for each id, in the order asked. Unknown ids answer `exists: false`. */
  lookup(userIds: readonly number[]): Promise<readonly UserFacts[]>;
  /**
   * Opens periods: inserts each row (nothing on conflict) and, where `LINGXI_LOGIN_RESETS_TIME` says so, moves the
   * user's time to `max(itself, loginAt)` (NULL counts as never). Creates missing users under the policy `create`.
   */
  open(openings: readonly Opening[]): Promise<void>;
  /**
   * Settles ended periods in one transaction: the user's time becomes `max(itself, logoutAt)`, the period's row is
   * closed (inserted where missing), and of two logout times of one period the later counts (rule ST2). A duty
   * `reconciled` closes an open row alone, not later than the user's next login, and moves the user's time no
   * further than the row says. A missing user row is no error: the period is closed all the same.
   */
  settle(duties: readonly Duty[], settledAt: number): Promise<void>;
  /** Open rows, oldest first, `afterKey` exclusive, for the reconciler and for the start on embedded stores. */
  openPeriods(page: {
    readonly limit: number;
    readonly after?: { readonly userId: number; readonly period: number };
  }): Promise<readonly PeriodRow[]>;
  /** Newest period of each id that has one. */
  newestPeriods(userIds: readonly number[]): Promise<ReadonlyMap<number, PeriodRow>>;
  /** Whether each period is closed, in the order asked. One without a row is not. */
  areSettled(periods: readonly PeriodKey[]): Promise<readonly boolean[]>;
  /**
   * Notes that `node` (an incarnation) holds these periods from now on: its life is what a `reconciled` logout goes by.
   * Closed rows and unknown periods stay as they are.
   */
  movePeriods(periods: readonly PeriodKey[], node: string): Promise<void>;
  /** Notes that `node` (an incarnation) lives at `at`. */
  noteNodeAlive(node: string, at: number): Promise<void>;
  nodeLives(nodes: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** Runs `work` only if no other process reconciles at this moment; answers whether it ran. */
  withReconcilerLock(work: () => Promise<void>): Promise<boolean>;
  /** Deletes closed periods older than `before` (wall-clock ms), at most `limit`; answers how many. */
  prunePeriods(before: number, limit: number): Promise<number>;
  /** Rejects where the database does not answer. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
