import { versionOf } from '../rules/groups.ts';
import type { Claim } from '../store/port.ts';
import {
  givenGroups,
  type HoldState,
  hasPeriod,
  httpProof,
  newer,
  newestProof,
  type Proof,
  socketProof,
  socketsOf,
  tokenGroups,
} from './hold-state.ts';

/** Age of a proof that does not exist: older than any that a store has. */
const NO_PROOF_AGE_MS = 1e11;

/** The hash that the Go server's readers know lives for 60 s from one statement to the next. */
const RESTATED_AFTER_MS = 20_000;

export interface HoldTimeouts {
  readonly heartbeatTimeoutMs: number;
  readonly httpTimeoutMs: number;
}

/** Whose hold is stated, and when. */
export interface Speaker extends HoldTimeouts {
  readonly userId: number;
  readonly username: string;
  readonly ip: string;
  /** The moment of the statement. */
  readonly now: Proof;
  /** Added to deadlines where the mass-timeout breaker holds the user (rule HB6). */
  readonly graceMs: number;
}

/** What a statement says beyond the state of the hold. */
export interface Statement {
  readonly mode: Claim['mode'];
  readonly rev: number;
  readonly rivals?: number;
  readonly floor?: number;
  readonly sockets?: number;
  /** Mode `socket`: groups of the tokens of those sockets, as one text. */
  readonly tokenGroups?: string;
  /** The proof of life by HTTP with which the user asks to come in. A user without a period here has no other. */
  readonly http?: Proof;
  /** Mode `socket`, for sockets that are here already: they prove nothing by being stated. */
  readonly reopens?: boolean;
}

/** The statement of what is held, with ages and remainders of this very moment. */
export function claimOf(state: HoldState, speaker: Speaker, said: Statement): Claim {
  const { heartbeatTimeoutMs, httpTimeoutMs, graceMs, now } = speaker;
  const { mode } = said;
  const isNewSocket = mode === 'socket' && said.reopens !== true;
  const socket = isNewSocket ? now : socketProof(state);
  const http = said.http ?? httpProof(state).proof;
  // After a loss nothing may be left, not even a proof.
  const until = Math.max(socket.monotonic + heartbeatTimeoutMs, http.monotonic + httpTimeoutMs);
  const running = hasPeriod(state) ? state : undefined;
  const sockets = socketsOf(state);
  return {
    userId: speaker.userId,
    mode,
    rev: said.rev,
    sockets: said.sockets ?? sockets.length,
    rivals: said.rivals ?? 0,
    socketMs: remainder(socket.observed + heartbeatTimeoutMs + graceMs - now.observed),
    httpMs: remainder(http.observed + httpTimeoutMs + graceMs - now.observed),
    ...proofFields(newer(socket, http).monotonic, until, now.monotonic),
    epoch: isNewSocket ? 0 : Math.max(0, ...sockets.map(({ epoch }) => epoch)),
    floor: said.floor ?? 0,
    period: mode === 'restate' ? (running?.period ?? 0) : 0,
    loginTime: mode === 'restate' ? (running?.loginTime ?? 0) : 0,
    username: speaker.username,
    ip: speaker.ip,
    tokenGroups: said.tokenGroups ?? tokenGroups(sockets),
    serviceGroups: statedGroups(state, mode),
    cause: mode === 'state' ? (running?.closeCause ?? '') : '',
  };
}

/** Monotonic times of the newest proofs in the newest statement, and of that statement. */
export interface ToldProofs {
  readonly newest: number;
  readonly socket: number;
  readonly at: number;
}

export const NOTHING_TOLD: ToldProofs = {
  newest: Number.NEGATIVE_INFINITY,
  socket: Number.NEGATIVE_INFINITY,
  at: Number.NEGATIVE_INFINITY,
};

export function toldOf(state: HoldState, monotonic: number): ToldProofs {
  return { newest: newestProof(state).monotonic, socket: socketProof(state).monotonic, at: monotonic };
}

/** Whether the store knows a proof older than `oldMs` while there is a newer one, or has heard nothing for long. */
export function isOutdated(
  told: ToldProofs,
  state: HoldState,
  { monotonic, oldMs }: { readonly monotonic: number; readonly oldMs: number },
): boolean {
  const isOld = (toldProof: number, newest: Proof): boolean =>
    newest.monotonic > toldProof && monotonic - toldProof >= oldMs;
  // A take-over goes by the proofs of sockets alone: one by HTTP must not hide that they are old.
  return (
    isOld(told.newest, newestProof(state)) ||
    isOld(told.socket, socketProof(state)) ||
    monotonic - told.at >= RESTATED_AFTER_MS
  );
}

/** The store keeps them. It needs them whole only to get back what it lost. */
function statedGroups(state: HoldState, mode: Claim['mode']): string {
  const groups = givenGroups(state);
  return groups === '' || mode === 'restate' ? groups : String(versionOf(groups));
}

function proofFields(
  newest: number,
  until: number,
  now: number,
): Pick<Claim, 'proofAgeMs' | 'untilMs' | 'proofMark'> {
  if (!Number.isFinite(until))
    return { proofAgeMs: NO_PROOF_AGE_MS, untilMs: -NO_PROOF_AGE_MS, proofMark: '' };
  return {
    proofAgeMs: Math.max(0, Math.round(now - newest)),
    untilMs: Math.round(until - now),
    proofMark: `${Math.round(newest)}_${Math.round(until)}`,
  };
}

/** Whole ms, rounded up: a store must never think a deadline nearer than it is. 0: there is none, or it has passed. */
function remainder(ms: number): number {
  return ms > 0 ? Math.ceil(ms) : 0;
}
