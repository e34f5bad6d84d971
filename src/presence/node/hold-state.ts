import type { ClientConnection } from '../../connection/client-connection.ts';
import { groupsText, namesIn } from '../../protocol/groups.ts';
import { heardGroups, newerGroups } from '../rules/groups.ts';
import type { Loss } from '../store/port.ts';

/** A proof of life: observed time for deadlines, monotonic time for its real age. */
export interface Proof {
  readonly observed: number;
  readonly monotonic: number;
}

export const NO_PROOF: Proof = { observed: Number.NEGATIVE_INFINITY, monotonic: Number.NEGATIVE_INFINITY };

/** A proof of life, and the revision of the claim that reported it. A loss voids the proofs up to its own revision. */
export interface NumberedProof {
  readonly proof: Proof;
  readonly rev: number;
}

const NEVER: NumberedProof = { proof: NO_PROOF, rev: 0 };

/** The part of an open connection that presence uses. */
export type HeldConnection = Pick<
  ClientConnection,
  'userId' | 'registration' | 'provenAt' | 'provenAtMonotonic' | 'isHeldBack' | 'clientState' | 'close'
>;

interface SocketNumbers {
  readonly connectionId: string;
  readonly epoch: number;
  /** Revision of the claim that reported this socket. A loss covers the sockets up to its own revision. */
  readonly rev: number;
  /** The groups of its token, as one text. Empty: none. */
  readonly groups: string;
}

/** An accepted socket that has not opened yet. The request to connect is its only proof of life. */
export interface AdmittedSocket extends SocketNumbers {
  readonly kind: 'admitted';
  readonly admitted: Proof;
}

/** An open socket. Its connection has the newest proof of life. */
export interface OpenSocket extends SocketNumbers {
  readonly kind: 'open';
  readonly connection: HeldConnection;
}

export type HeldSocket = AdmittedSocket | OpenSocket;

/** A logout or kick that this node sent to the store. */
export interface AskedEnd {
  readonly reason: 'logout' | 'kick';
  readonly note: string | undefined;
}

interface Common {
  /** Proofs in claims up to this revision are void, even if the answer to such a claim arrives later. */
  readonly lostRev: number;
}

/** This node does not hold the user. A login may be in progress; then the hold is locked. */
export interface Absent extends Common {
  readonly kind: 'absent';
}

/** The store may hold the user for this node, because a claim got no answer. This node must find out. */
export interface InDoubt extends Common {
  readonly kind: 'in-doubt';
  /** Keeps the user online on this node until it has found out. */
  readonly linger: NumberedProof;
}

/** The fields of every state with a period. */
interface Period extends Common {
  readonly period: number;
  readonly loginTime: number;
  /** Revision of the claim with which this node began to hold the period. */
  readonly adoptedRev: number;
  /** The newest proof of the closed sockets. */
  readonly linger: NumberedProof;
  readonly http: NumberedProof;
  /** A logout without an answer so far. If the store no longer has the user, the logout happened. */
  readonly endAsked: AskedEnd | undefined;
  /** Why the newest closed socket was closed. Empty: the store knows it. */
  readonly closeCause: string;
  /** The groups that the service gave, in the form of the store. Empty: this node knows of none. */
  readonly groups: string;
  /** A claim got no answer, so the store may have more of this user for this node than the node knows. */
  readonly isDoubted: boolean;
}

/** The user is online on this node: with sockets, lingering, or by HTTP. */
export interface Held extends Period {
  readonly kind: 'held';
  readonly sockets: readonly HeldSocket[];
}

/**
 * The store has said that it has no hold of this node. But the user has sockets here, or proofs of life that have not expired.
 * Until the store has the hold again, only the store answers for the user.
 */
export interface Missing extends Period {
  readonly kind: 'missing';
  readonly sockets: readonly HeldSocket[];
  /** Monotonic time at which this node noticed. */
  readonly since: number;
}

/** Nothing keeps the user online on this node. It has claimed so, and the store has not answered. The period may be over. */
export interface Ending extends Period {
  readonly kind: 'ending';
}

export type WithPeriod = Held | Missing | Ending;
export type HoldState = Absent | InDoubt | WithPeriod;

export const ABSENT: Absent = { kind: 'absent', lostRev: -1 };

// Questions about a state.

export function hasPeriod(state: HoldState): state is WithPeriod {
  return state.kind !== 'absent' && state.kind !== 'in-doubt';
}

export function socketsOf(state: HoldState): readonly HeldSocket[] {
  return hasSockets(state) ? state.sockets : [];
}

/** The groups that the service gave in this period. */
export function givenGroups(state: HoldState): string {
  return hasPeriod(state) ? state.groups : '';
}

/** The groups of the tokens of these sockets, as one text. */
export function tokenGroups(sockets: readonly Pick<HeldSocket, 'groups'>[]): string {
  const [first, second] = sockets;
  if (second === undefined) return first?.groups ?? '';
  return sockets.every(({ groups }) => groups === '')
    ? ''
    : groupsText(sockets.flatMap(({ groups }) => namesIn(groups)));
}

/** The newest proof of life by a socket, closed ones included. */
export function socketProof(state: HoldState): Proof {
  return socketsOf(state).reduce((newest, socket) => newer(newest, proofOf(socket)), lingerOf(state).proof);
}

export function httpProof(state: HoldState): NumberedProof {
  return hasPeriod(state) ? state.http : NEVER;
}

export function newestProof(state: HoldState): Proof {
  return newer(socketProof(state), httpProof(state).proof);
}

/** Observed time at which the last proof of life expires. */
export function expiresAt(
  state: HoldState,
  timeouts: { readonly heartbeatTimeoutMs: number; readonly httpTimeoutMs: number },
): number {
  return Math.max(
    socketProof(state).observed + timeouts.heartbeatTimeoutMs,
    httpProof(state).proof.observed + timeouts.httpTimeoutMs,
  );
}

export function proofOf(socket: HeldSocket): Proof {
  if (socket.kind === 'admitted') return socket.admitted;
  const { provenAt, provenAtMonotonic } = socket.connection;
  return { observed: provenAt, monotonic: provenAtMonotonic };
}

export function newer(left: Proof, right: Proof): Proof {
  return right.observed > left.observed ||
    (right.observed === left.observed && right.monotonic > left.monotonic)
    ? right
    : left;
}

// Transitions. Each function returns the next state. Only the word of the store makes a hold `held`: see `adopt` and `answered`.

/** The store accepted the claim `rev`: this node holds the period. A pending logout and a missing hold are over. */
export function adopt(
  state: HoldState,
  accepted: { readonly period: number; readonly loginTime: number },
  rev: number,
): Held {
  return {
    kind: 'held',
    lostRev: state.lostRev,
    period: accepted.period,
    loginTime: accepted.loginTime,
    adoptedRev: rev,
    sockets: socketsOf(state),
    linger: lingerOf(state),
    http: httpProof(state),
    endAsked: undefined,
    closeCause: hasPeriod(state) ? state.closeCause : '',
    // Groups of another period are over.
    groups: hasPeriod(state) && state.period === accepted.period ? state.groups : '',
    isDoubted: hasDoubt(state),
  };
}

/** The store has just accepted this socket. */
export function addSocket(state: Held, socket: HeldSocket): Held {
  return held(state, [...state.sockets, socket]);
}

/** The socket opened. Undefined: the hold no longer has this socket. */
export function openSocket(
  state: HoldState,
  connectionId: string,
  connection: HeldConnection,
): HoldState | undefined {
  const sockets = socketsOf(state);
  const index = sockets.findIndex((socket) => socket.connectionId === connectionId);
  const admitted = sockets[index];
  if (admitted === undefined || !hasSockets(state)) return undefined;
  const { epoch, rev, groups } = admitted;
  return withSockets(
    state,
    sockets.with(index, { kind: 'open', connectionId, epoch, rev, groups, connection }),
  );
}

/** The socket closed by `cause`. Its newest proof becomes the linger. Undefined: the hold has no such socket. */
export function removeSocket(state: HoldState, connectionId: string, cause: string): HoldState | undefined {
  const sockets = socketsOf(state);
  const removed = sockets.find((socket) => socket.connectionId === connectionId);
  if (removed === undefined || !hasSockets(state)) return undefined;
  const left = sockets.filter((socket) => socket !== removed);
  const linger = newerNumbered(state.linger, { proof: proofOf(removed), rev: removed.rev });
  return { ...withSockets(state, left), linger, closeCause: cause };
}

/** The open sockets were connected anew. The newest one gets the new epoch. */
export function renewEpoch(state: HoldState, epoch: number): HoldState {
  const sockets = socketsOf(state);
  const newest = sockets.at(-1);
  if (newest === undefined || !hasSockets(state)) return state;
  return withSockets(state, [...sockets.slice(0, -1), { ...newest, epoch }]);
}

/** A socket renewed its token, which has these groups. Undefined: the hold has no such socket. */
export function renewGroups(state: HoldState, connectionId: string, groups: string): HoldState | undefined {
  const sockets = socketsOf(state);
  const index = sockets.findIndex((socket) => socket.connectionId === connectionId);
  const renewed = sockets[index];
  if (renewed === undefined || !hasSockets(state)) return undefined;
  return withSockets(state, sockets.with(index, { ...renewed, groups }));
}

/** The store answered a claim with the groups of the period. The claim had named the version `stated` of them. */
export function hearGroups(state: HoldState, told: string, stated: number): HoldState {
  return hasPeriod(state) ? { ...state, groups: heardGroups(state.groups, { told, stated }) } : state;
}

/** The service changed the groups of the period to `groups`. */
export function giveGroups(state: HoldState, groups: string): HoldState {
  return hasPeriod(state) ? { ...state, groups: newerGroups(state.groups, groups) } : state;
}

/** A newer connection replaces all sockets of this node. Their proofs of life do not count as a linger. */
export function evict(state: HoldState): HoldState {
  return hasSockets(state) ? withSockets(state, []) : state;
}

/**
 * A loss voids the claims up to `rev`; later ones stay valid. A take-over takes the sockets and their linger, and a proof of
 * life by HTTP stays (rule PR1). A logout takes everything.
 */
export function lose(state: HoldState, { rev, reason }: Pick<Loss, 'rev' | 'reason'>): HoldState {
  const lostRev = reason === 'replaced' ? state.lostRev : Math.max(state.lostRev, rev);
  const keep = (told: NumberedProof): NumberedProof => (told.rev <= rev ? { ...NEVER, rev: told.rev } : told);
  switch (state.kind) {
    case 'absent':
      return { ...state, lostRev };
    case 'in-doubt':
      return { ...state, lostRev, linger: keep(state.linger) };
    case 'held':
    case 'missing':
    case 'ending': {
      const http = reason === 'replaced' ? state.http : keep(state.http);
      const kept = { lostRev, linger: keep(state.linger), http };
      if (state.kind === 'ending') return { ...state, ...kept };
      const left = state.sockets.filter((socket) => socket.rev > rev);
      return { ...withSockets(state, left), ...kept };
    }
  }
}

/** The user proved life by HTTP. Void if a loss covers the claim `rev`. */
export function proveByHttp(state: HoldState, proof: Proof, rev: number): HoldState {
  return hasPeriod(state) && rev > state.lostRev ? { ...state, http: { proof, rev } } : state;
}

/** The store did not accept the newest proof by HTTP. The one before it counts again, unless a loss voided it meanwhile. */
export function restoreHttp(state: HoldState, before: NumberedProof): HoldState {
  if (!hasPeriod(state)) return state;
  return { ...state, http: before.rev > state.lostRev ? before : { ...NEVER, rev: before.rev } };
}

/** The store may have more of the user than this node knows. `linger` keeps the user online until the node has found out. */
export function doubt(state: HoldState, linger: NumberedProof = NEVER): HoldState {
  const newest = newerNumbered(lingerOf(state), linger);
  return hasPeriod(state)
    ? { ...state, isDoubted: true, linger: newest }
    : { kind: 'in-doubt', lostRev: state.lostRev, linger: newest };
}

/** This node claims that nothing keeps the user online here. */
export function claimNothing(state: HoldState): HoldState {
  return state.kind === 'held' && state.sockets.length === 0 ? { ...periodOf(state), kind: 'ending' } : state;
}

/**
 * The store answered a claim. After any answer nothing is in doubt. `held` also means: no logout happened, the hold is not
 * missing, and the store knows the claimed cause.
 */
export function answered(
  state: HoldState,
  answer: { readonly isHeldInStore: boolean; readonly claimedCause: string },
): HoldState {
  if (!hasPeriod(state)) return state;
  if (!answer.isHeldInStore) return { ...state, isDoubted: false };
  const closeCause = answer.claimedCause === state.closeCause ? '' : state.closeCause;
  return { ...held(state, socketsOf(state)), isDoubted: false, closeCause, endAsked: undefined };
}

/** The store has no hold of this node. `now` is monotonic; the time of the first call counts. */
export function miss(state: HoldState, now: number): HoldState {
  return state.kind === 'held'
    ? { ...periodOf(state), kind: 'missing', sockets: state.sockets, since: now }
    : state;
}

/** Notes a logout without an answer so far; undefined: there is none. Without a period there is nothing to note. */
export function askEnd(state: HoldState, endAsked: AskedEnd | undefined): HoldState {
  return hasPeriod(state) ? { ...state, endAsked } : state;
}

/** The period is over for this node. A doubt remains. */
export function end(state: HoldState): Absent | InDoubt {
  const { lostRev } = state;
  return hasDoubt(state) ? { kind: 'in-doubt', lostRev, linger: NEVER } : { kind: 'absent', lostRev };
}

/** This node holds nothing of the user, without doubt. */
export function forget({ lostRev }: HoldState): Absent {
  return { kind: 'absent', lostRev };
}

function hasDoubt(state: HoldState): boolean {
  return state.kind === 'in-doubt' || (hasPeriod(state) && state.isDoubted);
}

function lingerOf(state: HoldState): NumberedProof {
  return state.kind === 'absent' ? NEVER : state.linger;
}

function newerNumbered(left: NumberedProof, right: NumberedProof): NumberedProof {
  return { proof: newer(left.proof, right.proof), rev: Math.max(left.rev, right.rev) };
}

function hasSockets(state: HoldState): state is Held | Missing {
  return state.kind === 'held' || state.kind === 'missing';
}

/** The same state with other sockets. A missing hold stays missing without sockets: the store still has no hold of this node. */
function withSockets(state: Held | Missing, sockets: readonly HeldSocket[]): Held | Missing {
  return state.kind === 'missing' ? { ...state, sockets } : held(state, sockets);
}

function held(state: WithPeriod, sockets: readonly HeldSocket[]): Held {
  const { lostRev, period, loginTime, adoptedRev, linger, http, endAsked, closeCause, groups, isDoubted } =
    state;
  // The same order as in `adopt`, and no spread. Otherwise V8 gives each of these objects its own shape of 360 bytes.
  return {
    kind: 'held',
    lostRev,
    period,
    loginTime,
    adoptedRev,
    sockets,
    linger,
    http,
    endAsked,
    closeCause,
    groups,
    isDoubted,
  };
}

function periodOf(state: WithPeriod): Period {
  const { lostRev, period, loginTime, adoptedRev, linger, http, endAsked, closeCause, groups, isDoubted } =
    state;
  return { lostRev, period, loginTime, adoptedRev, linger, http, endAsked, closeCause, groups, isDoubted };
}
