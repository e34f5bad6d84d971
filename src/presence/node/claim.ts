import { versionOf } from '../rules/groups.ts';
import type { Claim } from '../store/port.ts';
import {
  givenGroups,
  type HeldSocket,
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

/** The age that a claim gives if there is no proof: older than any real one. */
const NO_PROOF_AGE_MS = 1e11;

/** The hash `player:online:<id>` expires 60 s after the last claim. So a claim is repeated after this time. */
const REPEATED_AFTER_MS = 20_000;

export interface HoldTimeouts {
  readonly heartbeatTimeoutMs: number;
  readonly httpTimeoutMs: number;
}

/** The user of a claim, and the moment of the claim. */
export interface ClaimContext extends HoldTimeouts {
  readonly userId: number;
  readonly username: string;
  readonly ip: string;
  /** The moment of the claim. */
  readonly now: Proof;
  /** Added to the deadlines while the mass-timeout breaker gives the user one more timeout (rule HB6). */
  readonly graceMs: number;
}

/** What a claim says in addition to the state of the hold. */
export interface ClaimDetails {
  readonly mode: Claim['mode'];
  readonly rev: number;
  readonly rivals?: number;
  readonly floor?: number;
  readonly sockets?: number;
  /** Mode `socket`: the groups of the tokens of those sockets, as one text. */
  readonly tokenGroups?: string;
  /** The proof of life by HTTP of this very request. A user without a period here has no other proof. */
  readonly http?: Proof;
  /** Mode `socket`: the sockets are open already and connect anew. So the claim itself proves no life. */
  readonly reopens?: boolean;
}

/** The claim for a hold. Its ages and remaining times are those of this moment. */
export function claimOf(state: HoldState, context: ClaimContext, details: ClaimDetails): Claim {
  const { heartbeatTimeoutMs, httpTimeoutMs, graceMs, now } = context;
  const { mode } = details;
  const isNewSocket = mode === 'socket' && details.reopens !== true;
  const socket = isNewSocket ? now : socketProof(state);
  const http = details.http ?? httpProof(state).proof;
  // After a loss there may be no proof at all.
  const until = Math.max(socket.monotonic + heartbeatTimeoutMs, http.monotonic + httpTimeoutMs);
  const newest = newer(socket, http).monotonic;
  const isProved = Number.isFinite(until);
  const running = hasPeriod(state) ? state : undefined;
  const sockets = socketsOf(state);
  return {
    userId: context.userId,
    mode,
    rev: details.rev,
    sockets: details.sockets ?? sockets.length,
    rivals: details.rivals ?? 0,
    socketMs: remainder(socket.observed + heartbeatTimeoutMs + graceMs - now.observed),
    httpMs: remainder(http.observed + httpTimeoutMs + graceMs - now.observed),
    proofAgeMs: isProved ? Math.max(0, Math.round(now.monotonic - newest)) : NO_PROOF_AGE_MS,
    untilMs: isProved ? Math.round(until - now.monotonic) : -NO_PROOF_AGE_MS,
    proofMark: isProved ? `${Math.round(newest)}_${Math.round(until)}` : '',
    epoch: isNewSocket ? 0 : newestEpoch(sockets),
    floor: details.floor ?? 0,
    period: mode === 'restate' ? (running?.period ?? 0) : 0,
    loginTime: mode === 'restate' ? (running?.loginTime ?? 0) : 0,
    username: context.username,
    ip: context.ip,
    tokenGroups: details.tokenGroups ?? tokenGroups(sockets),
    serviceGroups: claimedGroups(state, mode),
    cause: mode === 'state' ? (running?.closeCause ?? '') : '',
  };
}

/** Monotonic times: of the newest proofs in the last claim, and of that claim. */
export interface ClaimedProofs {
  readonly newest: number;
  readonly socket: number;
  readonly at: number;
}

export const NOTHING_CLAIMED: ClaimedProofs = {
  newest: Number.NEGATIVE_INFINITY,
  socket: Number.NEGATIVE_INFINITY,
  at: Number.NEGATIVE_INFINITY,
};

export function claimedProofsOf(state: HoldState, monotonic: number): ClaimedProofs {
  return { newest: newestProof(state).monotonic, socket: socketProof(state).monotonic, at: monotonic };
}

/** Whether a claim is due: the last one has a proof older than `oldMs` and there is a newer one, or it was long ago. */
export function isOutdated(
  claimed: ClaimedProofs,
  state: HoldState,
  { monotonic, oldMs }: { readonly monotonic: number; readonly oldMs: number },
): boolean {
  const isOld = (claimedProof: number, newest: Proof): boolean =>
    newest.monotonic > claimedProof && monotonic - claimedProof >= oldMs;
  // A take-over compares the proofs of sockets alone. So a new proof by HTTP must not hide an old proof of a socket.
  return (
    isOld(claimed.newest, newestProof(state)) ||
    isOld(claimed.socket, socketProof(state)) ||
    monotonic - claimed.at >= REPEATED_AFTER_MS
  );
}

/** The store keeps the groups, so the version is enough. Only a restore needs them whole. */
function claimedGroups(state: HoldState, mode: Claim['mode']): string {
  const groups = givenGroups(state);
  return groups === '' || mode === 'restate' ? groups : String(versionOf(groups));
}

function newestEpoch(sockets: readonly HeldSocket[]): number {
  let newest = 0;
  for (const { epoch } of sockets) newest = Math.max(newest, epoch);
  return newest;
}

/** Whole ms, rounded up, so that the store never ends a hold too early. 0: there is no deadline, or it has passed. */
function remainder(ms: number): number {
  return ms > 0 ? Math.ceil(ms) : 0;
}
