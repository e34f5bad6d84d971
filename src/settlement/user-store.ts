import type { Duty, Opening, PeriodKey, PeriodRow, UserFacts } from '../protocol/periods.ts';

/** Other transactions hold the rows of these users. Empty: they have released them meanwhile. */
export class UsersLocked extends Error {
  override readonly name = 'UsersLocked';
  readonly userIds: ReadonlySet<number>;

  constructor(userIds: ReadonlySet<number>, cause: unknown) {
    super('another program locks rows of the users table', { cause });
    this.userIds = userIds;
  }
}

/**
 * The SQL port of settlement. Every write is one transaction for the whole batch; a batch has at most 1,000 rows. After a
 * rejection it is unknown whether anything was written. The caller may repeat the call: each one is idempotent.
 */
export interface UserStore {
  /** Facts for each id, in the order of `ids`. Unknown ids have `exists: false`. */
  lookup(userIds: readonly number[]): Promise<readonly UserFacts[]>;
  /**
   * Opens periods. Inserts each row (nothing on conflict). With `LINGXI_LOGIN_RESETS_TIME` sets the user's time to
   * `max(itself, loginAt)` (NULL counts as never). Creates missing users under the policy `create`. Does not wait for the
   * row of a user: rejects with {@link UsersLocked}, and nothing is written.
   */
  open(openings: readonly Opening[]): Promise<void>;
  /** Deletes the rows of openings of `node` that came to nothing. A row that is closed, or of another node now, stays. */
  dropOpenings(openings: readonly PeriodKey[], node: string): Promise<void>;
  /**
   * Settles ended periods in one transaction: the user's time becomes `max(itself, logoutAt)`, the period's row is
   * closed (inserted where missing), and of two logout times of one period the later counts (rule ST2). A duty
   * `reconciled` closes an open row alone, not later than the user's next login, and moves the user's time no
   * further than the row says. A missing user row is no error: the period is closed all the same. Does not wait for the
   * row of a user: rejects with {@link UsersLocked}, and nothing is written.
   */
  settle(duties: readonly Duty[], settledAt: number): Promise<void>;
  /** Open rows, oldest first, `afterKey` exclusive, for the reconciler and for the start on embedded stores. */
  openPeriods(page: {
    readonly limit: number;
    readonly after?: { readonly userId: number; readonly period: number };
  }): Promise<readonly PeriodRow[]>;
  /** Newest period of each id that has one. */
  newestPeriods(userIds: readonly number[]): Promise<ReadonlyMap<number, PeriodRow>>;
  /** Whether each period is closed, in the order of the argument. A period without a row is not. */
  areSettled(periods: readonly PeriodKey[]): Promise<readonly boolean[]>;
  /**
   * Notes that `node` (an incarnation) holds these periods from now on. A `reconciled` logout uses its sign of life. Closed
   * rows and unknown periods do not change.
   */
  movePeriods(periods: readonly PeriodKey[], node: string): Promise<void>;
  /** Notes a sign of life of `node` (an incarnation) at `at`. */
  noteNodeAlive(node: string, at: number): Promise<void>;
  nodeLives(nodes: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** Runs `work` only if no other process reconciles now. Returns whether it ran. */
  withReconcilerLock(work: () => Promise<void>): Promise<boolean>;
  /** Deletes at most `limit` closed periods older than `before` (wall-clock ms). Returns how many. */
  prunePeriods(before: number, limit: number): Promise<number>;
  /** Rejects if the database does not answer. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
