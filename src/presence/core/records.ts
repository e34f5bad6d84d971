import type { LogoutReason } from '../../protocol/reasons.ts';
import type { ClaimAnswer, Loss } from '../presence-store.ts';

/** The moment of one step: wall clock for what is shown or stored, observed clock for deadlines. Milliseconds. */
export interface Moment {
  readonly wall: number;
  readonly observed: number;
}

/** What one node holds of one user. Deadlines are observed times; 0: none. */
export interface Hold {
  rev: number;
  /** The answer to `rev`, for a repeated statement. */
  answer: ClaimAnswer;
  sockets: number;
  epoch: number;
  socketUntil: number;
  httpUntil: number;
}

/** All that is known of one user. Wall-clock times in milliseconds. */
export interface RecordState {
  readonly userId: number;
  username: string;
  ip: string;
  period: number;
  loginTime: number;
  /** Newest epoch ever minted for the user. */
  epoch: number;
  /** Whether the opening of the running period stands in SQL, so that others may see it. */
  recorded: boolean;
  /** Newest proof of life. */
  proof: number;
  /** Newest proof plus its timeout: the logout time of a timeout. */
  until: number;
  readonly holds: Map<string, Hold>;
  /** Observed times of the last take-overs, oldest first (rule PR4). */
  takeovers: readonly number[];
  /** Observed time until which logins are refused. */
  blockedUntil: number;
  /** How the last period ended, while that is remembered. */
  last: LastPeriod | undefined;
  /** The newest period whose duty is not acknowledged. */
  unsettled: number | undefined;
}

export interface LastPeriod {
  readonly period: number;
  readonly loginTime: number;
  readonly lastHeartbeat: number;
  readonly logoutTime: number;
  readonly reason: LogoutReason;
}

const NO_TAKEOVERS: readonly number[] = [];

export function newRecord(userId: number): RecordState {
  return {
    userId,
    username: '',
    ip: '',
    period: 0,
    loginTime: 0,
    epoch: 0,
    recorded: false,
    proof: 0,
    until: 0,
    holds: new Map(),
    takeovers: NO_TAKEOVERS,
    blockedUntil: 0,
    last: undefined,
    unsettled: undefined,
  };
}

export function isOnline(record: RecordState | undefined): record is RecordState {
  return record !== undefined && record.holds.size > 0 && record.recorded;
}

/** Notes that a node lost its hold, until the node acknowledges it. */
export function lose(losses: Map<string, Map<number, Loss>>, node: string, loss: Loss): void {
  const ofNode = losses.get(node) ?? new Map<number, Loss>();
  ofNode.set(loss.userId, loss);
  losses.set(node, ofNode);
}
