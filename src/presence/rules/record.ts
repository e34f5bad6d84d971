import { SmallMap } from '../../lib/small-map.ts';
import type { LogoutReason } from '../../protocol/reasons.ts';
import type { Claim, ClaimAnswer } from '../store/port.ts';

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
  /**
   * Newest proof of life that the node told, and that plus its timeout, wall clock. What it tells next takes their
   * place, or makes them older where it goes by the same proofs: a statement that was long on its way made them as
   * much too new.
   */
  proof: number;
  until: number;
  proofMark: string;
  /** Groups of the tokens of the node's connections, as one text; empty: none (rule GR1). */
  tokenGroups: string;
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
  /** Observed time at which a node last began to open the period, while it is not recorded. */
  openedAt: number;
  /** Newest proof of life of the holds that are gone, see {@link newestProof}. */
  proof: number;
  /** The same plus its timeout: once the last hold is gone, the logout time of a timeout (rule ST5). */
  until: number;
  readonly holds: SmallMap<string, Hold>;
  /** Groups that the service gave in this period, see `groups.ts`; empty: none. */
  groups: string;
  /** Observed times of the last take-overs, oldest first (rule PR4). */
  takeovers: readonly number[];
  /** Observed time until which logins are refused. */
  blockedUntil: number;
  /** How the last period ended, while that is remembered. */
  last: LastPeriod | undefined;
  /** Periods whose duties are not acknowledged, oldest first. */
  unsettled: readonly number[];
  /** Wall clock after which the record of a settled offline user is gone; undefined: it stays. */
  expiresAt: number | undefined;
}

export interface LastPeriod {
  readonly period: number;
  readonly loginTime: number;
  readonly lastHeartbeat: number;
  readonly logoutTime: number;
  readonly reason: LogoutReason;
}

/** How long others wait for a node that opens a period; then they take the opening up. */
const OPENING_MS = 1500;
/** Ended periods of one user whose duties are known to wait; beyond, the oldest is left to its duty alone. */
const MAX_UNSETTLED = 100;
const NONE: readonly number[] = [];
const HELD: ClaimAnswer = { kind: 'held' };

export function newRecord(userId: number): RecordState {
  return {
    userId,
    username: '',
    ip: '',
    period: 0,
    loginTime: 0,
    epoch: 0,
    recorded: false,
    openedAt: 0,
    proof: 0,
    until: 0,
    holds: new SmallMap(),
    groups: '',
    takeovers: NONE,
    blockedUntil: 0,
    last: undefined,
    unsettled: NONE,
    expiresAt: undefined,
  };
}

export function newHold(): Hold {
  // No spread: V8 would give each hold a shape of its own, of 360 bytes.
  return {
    rev: 0,
    answer: HELD,
    sockets: 0,
    epoch: 0,
    socketUntil: 0,
    httpUntil: 0,
    proof: 0,
    until: 0,
    proofMark: '',
    tokenGroups: '',
  };
}

export function isOnline(record: RecordState | undefined): record is RecordState {
  return record !== undefined && record.holds.size > 0 && record.recorded;
}

/** Newest proof of life of a running period. */
export function newestProof(record: RecordState): number {
  let newest = record.proof;
  for (const { proof } of record.holds.values()) newest = Math.max(newest, proof);
  return newest;
}

/** Takes a hold away; what it proved stays known. */
export function removeHold(record: RecordState, node: string): void {
  const hold = record.holds.get(node);
  if (hold === undefined) return;
  record.proof = Math.max(record.proof, hold.proof);
  record.until = Math.max(record.until, hold.until);
  record.holds.delete(node);
}

/** What was proved of one period is no proof of the one that takes its place. Its holds stay. */
export function forgetProofs(record: RecordState): void {
  Object.assign(record, { proof: 0, until: 0 });
  for (const hold of record.holds.values()) Object.assign(hold, { proof: 0, until: 0, proofMark: '' });
}

/** The record of an offline user whose periods are all settled goes in time; a block outlives what is remembered. */
export function expireOffline(record: RecordState, lastSeenTtlMs: number, { wall, observed }: Moment): void {
  record.expiresAt = wall + Math.max(1, lastSeenTtlMs, record.blockedUntil - observed);
}

/** Notes that the duty of the period that has just ended waits. */
export function noteUnsettled(record: RecordState): void {
  record.unsettled = [...record.unsettled, record.period].slice(-MAX_UNSETTLED);
}

/** Notes that a duty is done; answers whether it waited and was the last one. */
export function settled(record: RecordState, period: number): boolean {
  if (!record.unsettled.includes(period)) return false;
  record.unsettled = record.unsettled.filter((waiting) => waiting !== period);
  return record.unsettled.length === 0;
}

/** Whether the statement says that anything is held. */
export function isHolding({ sockets, socketMs, httpMs }: Claim): boolean {
  return sockets > 0 || socketMs > 0 || httpMs > 0;
}

export function isHeldElsewhere({ holds }: RecordState, node: string): boolean {
  return holds.size > (holds.has(node) ? 1 : 0);
}

/** Whether what is restated has ended, or is followed by a period that runs. */
export function isPast(record: RecordState, { period }: Claim): boolean {
  if (period === 0 || (record.last !== undefined && record.last.period >= period)) return true;
  return record.recorded && record.holds.size > 0 && record.period > period;
}

/**
 * Whether sockets that come anew have shown no life since a logout: the store had lost them, so nobody told their node of it
 * (rules PR7 and PR9). A logout in the future is of before a step back of the clock.
 */
export function isLoggedOut(record: RecordState, { epoch, proofAgeMs }: Claim, { wall }: Moment): boolean {
  const { last, holds } = record;
  if (epoch === 0 || holds.size > 0 || last === undefined) return false;
  if (last.reason !== 'logout' && last.reason !== 'kick') return false;
  return last.logoutTime <= wall && wall - proofAgeMs <= last.logoutTime;
}

/** Another node has begun to open the period, so lately that it may still be at it. */
export function isBeingOpened(record: RecordState, node: string, { observed }: Moment): boolean {
  if (record.recorded || record.holds.size === 0 || record.holds.has(node)) return false;
  return observed - record.openedAt < OPENING_MS;
}

/** Puts what a node states in the place of what it stated before. */
export function applyClaim(hold: Hold, claim: Claim, { wall, observed }: Moment): void {
  hold.sockets = claim.sockets;
  hold.socketUntil = claim.socketMs > 0 ? observed + claim.socketMs : 0;
  hold.httpUntil = claim.httpMs > 0 ? observed + claim.httpMs : 0;
  // They last while a connection with the token lives (rule GR1).
  hold.tokenGroups = claim.sockets > 0 ? claim.tokenGroups : '';
  // A node that knows of no proof, as after a failover, takes nothing from what was known.
  if (claim.proofMark === '') return;
  const proof = Math.max(0, wall - claim.proofAgeMs);
  const until = Math.max(0, wall + claim.untilMs);
  const isSame = hold.proofMark === claim.proofMark;
  hold.proof = isSame ? Math.min(hold.proof, proof) : proof;
  hold.until = isSame ? Math.min(hold.until, until) : until;
  hold.proofMark = claim.proofMark;
}

/**
 * The answer to a login, with the groups that the node must hear of. If an earlier answer was lost, or the login takes over
 * an opening, it must write the row.
 */
export function accepted(record: RecordState, untold: string): ClaimAnswer {
  const { recorded, period, epoch, loginTime, unsettled } = record;
  const groups = untold === '' ? {} : { groups: untold };
  return recorded
    ? { kind: 'joined', period, epoch, loginTime, ...groups }
    : { kind: 'opened', period, epoch, loginTime, unsettled: unsettled.at(-1), ...groups };
}
