import type { LogoutReason } from './reasons.ts';

/** A row of `lingxi_periods` as far as it is known. Times are wall-clock milliseconds. */
export interface PeriodRow {
  readonly userId: number;
  /** Number of the period, in milliseconds, greater than any earlier one of the user (rule PR2). */
  readonly period: number;
  readonly loginAt: number;
  /** Newest proof of life; `null` while the period is open. */
  readonly lastSeenAt: number | null;
  readonly logoutAt: number | null;
  readonly reason: LogoutReason | null;
  /** When the logout was written; `null` while the period is open. */
  readonly settledAt: number | null;
  /** Incarnation that holds or held the period. */
  readonly node: string;
}

/** Names one period of one user. */
export interface PeriodKey {
  readonly userId: number;
  readonly period: number;
}

/** The same as one text, for maps and for the keys of a store. */
export function periodKey({ userId, period }: PeriodKey): string {
  return `${userId}:${period}`;
}

/** The order to settle one ended period: the whole row, so that it can be written even if none exists (rule ST2). */
export interface Duty {
  /** Opaque handle that acknowledges the duty in the presence store. */
  readonly id: string;
  readonly userId: number;
  readonly period: number;
  readonly loginAt: number;
  readonly logoutAt: number;
  readonly lastSeenAt: number;
  readonly reason: LogoutReason;
  readonly node: string;
}

/** A period about to open (rules ST4, ST9). */
export interface Opening {
  readonly userId: number;
  readonly period: number;
  readonly loginAt: number;
  readonly node: string;
}

/** SQL refuses the row itself, by a constraint or a trigger: the same row fails for ever. */
export class RefusedForGood extends Error {
  override readonly name = 'RefusedForGood';
}

/** What waits for SQL. */
export interface PendingDuties {
  /** Duties not acknowledged, those given out included. */
  readonly count: number;
  readonly oldestAgeMs: number;
  /** Duties that SQL refused for good, kept for an operator. */
  readonly setAside: number;
}

/** What SQL knows of a user before a login. */
export interface UserFacts {
  readonly userId: number;
  /** Whether the operator's users table has the row. Always true with `LINGXI_USERS_TABLE=none`. */
  readonly exists: boolean;
  /** False for an id that is too great for the id column, so that no row of it can be made. */
  readonly canExist: boolean;
  /** The newest period of the user, open or closed. */
  readonly newest: PeriodRow | undefined;
}

export interface EndedPeriod {
  readonly userId: number;
  readonly period: number;
  readonly epoch: number;
  readonly loginTime: number;
  readonly logoutTime: number;
  readonly reason: LogoutReason;
}
