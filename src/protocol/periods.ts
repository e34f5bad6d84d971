import type { LogoutReason } from './reasons.ts';

/** The known part of a row of `lingxi_periods`. Times are wall-clock milliseconds. */
export interface PeriodRow {
  readonly userId: number;
  /** Number of the period, in milliseconds. It is greater than any earlier one of the user (rule PR2). */
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

/** Identifies one period of one user. */
export interface PeriodKey {
  readonly userId: number;
  readonly period: number;
}

/** The same as one text, for maps and for keys in a store. */
export function periodKey({ userId, period }: PeriodKey): string {
  return `${userId}:${period}`;
}

/** The order to settle one ended period. It has the whole row, so that SQL can write it even if it has none (rule ST2). */
export interface Duty {
  /** Opaque handle to acknowledge the duty in the presence store. */
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

/** SQL refuses the row itself, by a constraint or a trigger, so the same row will always fail. */
export class RefusedForGood extends Error {
  override readonly name = 'RefusedForGood';
}

/** The numbers of duties that SQL has not settled. */
export interface PendingDuties {
  /** Duties not yet acknowledged, including those in progress. */
  readonly count: number;
  readonly oldestAgeMs: number;
  /** Duties that SQL refused permanently, kept for an operator. */
  readonly setAside: number;
}

/** The data in SQL about a user before a login. */
export interface UserFacts {
  readonly userId: number;
  /** Whether the operator's users table has the row. Always true with `LINGXI_USERS_TABLE=none`. */
  readonly exists: boolean;
  /** False if the id is too large for the id column, so that no row with it can exist. */
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
