import { SmallMap } from '../../lib/small-map.ts';
import type { LogoutReason } from '../../protocol/reasons.ts';
import type { Claim, ClaimAnswer } from '../store/port.ts';

/** The moment of one step, in ms. The wall clock is for times that are shown or stored, the observed clock for deadlines. */
export interface Moment {
  readonly wall: number;
  readonly observed: number;
}

/** The hold of one node on one user. Deadlines are observed times; 0: none. */
export interface Hold {
  rev: number;
  /** The answer to the claim `rev`, in case the node repeats it. */
  answer: ClaimAnswer;
  sockets: number;
  epoch: number;
  socketUntil: number;
  httpUntil: number;
  /**
   * Wall-clock times: the newest proof of life in the node's claims, and that proof plus its timeout. The next claim replaces
   * them. But if it names the same proofs, only an older time replaces them: a delayed claim made its proofs seem too new.
   */
  proof: number;
  until: number;
  proofMark: string;
  /** The groups of the tokens of the node's connections, as one text. Empty: none (rule GR1). */
  tokenGroups: string;
}

/** The record of one user. Times are wall-clock ms. */
export interface RecordState {
  readonly userId: number;
  username: string;
  ip: string;
  period: number;
  loginTime: number;
  /** The newest epoch that the user ever got. */
  epoch: number;
  /** Whether the running period is recorded: its row is in SQL, so the user is visible as online. */
  recorded: boolean;
  /** Observed time at which a node last began to open the period, while it is not recorded. */
  openedAt: number;
  /** The newest proof of life of the removed holds, see {@link newestProof}. */
  proof: number;
  /** That proof plus its timeout. Once the last hold is removed, this is the logout time of a timeout (rule ST5). */
  until: number;
  readonly holds: SmallMap<string, Hold>;
  /** The groups that the service gave in this period, see `groups.ts`. Empty: none. */
  groups: string;
  /** Observed times of the last take-overs, oldest first (rule PR4). */
  takeovers: readonly number[];
  /** Observed time until which logins are refused. */
  blockedUntil: number;
  /** The last period that ended, while the store remembers it. */
  last: LastPeriod | undefined;
  /** Periods whose duties are not acknowledged, oldest first. */
  unsettled: readonly number[];
  /** Wall-clock time at which the record of a settled offline user expires; undefined: it stays. */
  expiresAt: number | undefined;
}

export interface LastPeriod {
  readonly period: number;
  readonly loginTime: number;
  readonly lastHeartbeat: number;
  readonly logoutTime: number;
  readonly reason: LogoutReason;
}

/** How long other nodes wait for a node that opens a period. Then they may continue the opening. */
const OPENING_MS = 1500;
/** Largest number of unsettled periods in one record. Beyond it the oldest one is dropped from the record; its duty stays. */
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
  // No spread. Otherwise V8 gives each hold its own shape of 360 bytes.
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

/** Removes a hold. The record keeps its proof of life. */
export function removeHold(record: RecordState, node: string): void {
  const hold = record.holds.get(node);
  if (hold === undefined) return;
  record.proof = Math.max(record.proof, hold.proof);
  record.until = Math.max(record.until, hold.until);
  record.holds.delete(node);
}

/** Proofs of one period do not count for the period that replaces it. The holds stay. */
export function forgetProofs(record: RecordState): void {
  Object.assign(record, { proof: 0, until: 0 });
  for (const hold of record.holds.values()) Object.assign(hold, { proof: 0, until: 0, proofMark: '' });
}

/** Lets the record of a settled offline user expire, but not before the user's block ends. */
export function expireOffline(record: RecordState, lastSeenTtlMs: number, { wall, observed }: Moment): void {
  record.expiresAt = wall + Math.max(1, lastSeenTtlMs, record.blockedUntil - observed);
}

/** Notes that the duty of the ended period waits. */
export function noteUnsettled(record: RecordState): void {
  record.unsettled = [...record.unsettled, record.period].slice(-MAX_UNSETTLED);
}

/** Notes that a duty is settled. Returns whether it waited and was the last one. */
export function settled(record: RecordState, period: number): boolean {
  if (!record.unsettled.includes(period)) return false;
  record.unsettled = record.unsettled.filter((waiting) => waiting !== period);
  return record.unsettled.length === 0;
}

/** Whether the claim says that the node holds anything. */
export function isHolding({ sockets, socketMs, httpMs }: Claim): boolean {
  return sockets > 0 || socketMs > 0 || httpMs > 0;
}

export function isHeldElsewhere({ holds }: RecordState, node: string): boolean {
  return holds.size > (holds.has(node) ? 1 : 0);
}

/** A claim, and the record of its user. */
interface Step {
  readonly claim: Claim;
  readonly record: RecordState;
  readonly moment: Moment;
}

/** Whether the period of a claim in mode `restate` has ended, or a later one runs. `last` says how the last period ended. */
export function isPast({ record, claim: { period } }: Step, last: LastPeriod | undefined): boolean {
  if (period === 0 || (last !== undefined && last.period >= period)) return true;
  return record.recorded && record.holds.size > 0 && record.period > period;
}

/**
 * Whether sockets that connect anew have shown no life since a logout. The store had lost their hold, so their node got no
 * loss for the logout (rules PR7 and PR9). A logout in the future does not count: the clock has stepped back since then.
 */
export function isLoggedOut(step: Step, last: LastPeriod | undefined): boolean {
  const { epoch, proofAgeMs } = step.claim;
  const { wall } = step.moment;
  if (epoch === 0 || step.record.holds.size > 0 || last === undefined) return false;
  if (last.reason !== 'logout' && last.reason !== 'kick') return false;
  return last.logoutTime <= wall && wall - proofAgeMs <= last.logoutTime;
}

/** Whether another node began so recently to open the period that it may still be opening it. */
export function isBeingOpened(record: RecordState, node: string, { observed }: Moment): boolean {
  if (record.recorded || record.holds.size === 0 || record.holds.has(node)) return false;
  return observed - record.openedAt < OPENING_MS;
}

/** Replaces what the node claimed before. */
export function applyClaim(hold: Hold, claim: Claim, { wall, observed }: Moment): void {
  hold.sockets = claim.sockets;
  hold.socketUntil = claim.socketMs > 0 ? observed + claim.socketMs : 0;
  hold.httpUntil = claim.httpMs > 0 ? observed + claim.httpMs : 0;
  // These groups last while a connection with the token lives (rule GR1).
  hold.tokenGroups = claim.sockets > 0 ? claim.tokenGroups : '';
  // If the node knows no proof, as after a failover, the proofs in the store stay.
  if (claim.proofMark === '') return;
  const proof = Math.max(0, wall - claim.proofAgeMs);
  const until = Math.max(0, wall + claim.untilMs);
  const isSame = hold.proofMark === claim.proofMark;
  hold.proof = isSame ? Math.min(hold.proof, proof) : proof;
  hold.until = isSame ? Math.min(hold.until, until) : until;
  hold.proofMark = claim.proofMark;
}

/**
 * The answer to a login. `untold` are the groups that the node does not know. `opened` means that the node must write the row,
 * also if an earlier answer was lost or the login continues another node's opening.
 */
export function accepted(record: RecordState, untold: string): ClaimAnswer {
  const { recorded, period, epoch, loginTime, unsettled } = record;
  const answer: ClaimAnswer = recorded
    ? { kind: 'joined', period, epoch, loginTime }
    : { kind: 'opened', period, epoch, loginTime, unsettled: unsettled.at(-1) };
  return untold === '' ? answer : { ...answer, groups: untold };
}
