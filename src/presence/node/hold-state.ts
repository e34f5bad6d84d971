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

/** A proof with the number of the statement that told the store of it: a loss takes every proof that is not newer. */
export interface NumberedProof {
  readonly proof: Proof;
  readonly rev: number;
}

const NEVER: NumberedProof = { proof: NO_PROOF, rev: 0 };

/** What presence needs of an open connection. */
export type HeldConnection = Pick<
  ClientConnection,
  'userId' | 'registration' | 'provenAt' | 'provenAtMonotonic' | 'isHeld' | 'clientState' | 'close'
>;

interface SocketNumbers {
  readonly connectionId: string;
  readonly epoch: number;
  /** The statement that claimed this socket: a loss takes every socket that is not newer. */
  readonly rev: number;
  /** Groups of its token, as one text; empty: none. */
  readonly groups: string;
}

/** A socket that was accepted and has not opened yet: the request to connect is its only proof of life. */
export interface AdmittedSocket extends SocketNumbers {
  readonly kind: 'admitted';
  readonly admitted: Proof;
}

/** An open socket: its connection knows the newest proof of life. */
export interface OpenSocket extends SocketNumbers {
  readonly kind: 'open';
  readonly connection: HeldConnection;
}

export type HeldSocket = AdmittedSocket | OpenSocket;
type OneOrMore<Value> = readonly [Value, ...Value[]];

/** A logout or kick that was sent to the store. */
export interface AskedEnd {
  readonly reason: 'logout' | 'kick';
  readonly note: string | undefined;
}

interface Common {
  /** Proofs that were told in statements up to this one are void, even if their answer arrives later. */
  readonly lostRev: number;
}

/** This node holds nothing of the user. A login may be under way: the lock of the hold says so. */
export interface Absent extends Common {
  readonly kind: 'absent';
}

/** The store may hold the user for this node, by a statement without an answer. This node must find out. */
export interface InDoubt extends Common {
  readonly kind: 'in-doubt';
  /** Keeps the user alive here until the doubt is settled. */
  readonly linger: NumberedProof;
}

/** What every state with a period has. */
interface Period extends Common {
  readonly period: number;
  readonly loginTime: number;
  /** The statement by which this node came to hold the period. */
  readonly adoptedRev: number;
  /** Newest proof of the sockets that are gone. */
  readonly linger: NumberedProof;
  readonly http: NumberedProof;
  /** A logout whose answer has not come. If the store no longer has the user, the logout happened. */
  readonly endAsked: AskedEnd | undefined;
  /** Why the newest socket that is gone was closed, until the store knows; empty: the store knows. */
  readonly closeCause: string;
  /** Groups that the service gave, as the store keeps them; empty: none that this node knows of. */
  readonly groups: string;
  /** A statement without an answer may have given this node more than it knows of. */
  readonly isDoubted: boolean;
}

/** The user is online through this node: by sockets, by the linger after the last one, or by a proof over HTTP. */
export interface Held extends Period {
  readonly kind: 'held';
  readonly sockets: readonly HeldSocket[];
}

/** The store has no hold of this node for a user whose sockets are here. */
export interface Missing extends Period {
  readonly kind: 'missing';
  readonly sockets: OneOrMore<HeldSocket>;
  /** Monotonic time at which this node found out. */
  readonly since: number;
}

/** Nothing is left here. The store was told and has not answered: the period may be over. */
export interface Ending extends Period {
  readonly kind: 'ending';
}

export type WithPeriod = Held | Missing | Ending;
export type HoldState = Absent | InDoubt | WithPeriod;

export const ABSENT: Absent = { kind: 'absent', lostRev: -1 };

// What a state says.

export function hasPeriod(state: HoldState): state is WithPeriod {
  return state.kind !== 'absent' && state.kind !== 'in-doubt';
}

export function socketsOf(state: HoldState): readonly HeldSocket[] {
  return state.kind === 'held' || state.kind === 'missing' ? state.sockets : [];
}

/** Groups that the service gave in this period. */
export function givenGroups(state: HoldState): string {
  return hasPeriod(state) ? state.groups : '';
}

/** Groups of the tokens of the sockets here, as one text. */
export function tokenGroups(sockets: readonly Pick<HeldSocket, 'groups'>[]): string {
  const [first, second] = sockets;
  if (second === undefined) return first?.groups ?? '';
  return sockets.every(({ groups }) => groups === '')
    ? ''
    : groupsText(sockets.flatMap(({ groups }) => namesIn(groups)));
}

/** The newest proof of life by a socket, one that is gone included. */
export function socketProof(state: HoldState): Proof {
  return socketsOf(state).reduce((newest, socket) => newer(newest, proofOf(socket)), lingerOf(state).proof);
}

export function httpProof(state: HoldState): NumberedProof {
  return hasPeriod(state) ? state.http : NEVER;
}

export function newestProof(state: HoldState): Proof {
  return newer(socketProof(state), httpProof(state).proof);
}

/** Observed time at which the last proof of life runs out. */
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

// How a state changes. Each function answers the state that follows.

/** The store accepted the statement `rev`: this node holds the period. Whatever was in question before is settled. */
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
    // What was given in another period is over.
    groups: hasPeriod(state) && state.period === accepted.period ? state.groups : '',
    isDoubted: hasDoubt(state),
  };
}

export function addSocket(state: WithPeriod, socket: HeldSocket): Held | Missing {
  return withSockets(state, [...socketsOf(state), socket]);
}

/** The socket opened. Undefined: the hold has no such socket, for it was taken away meanwhile. */
export function openSocket(
  state: HoldState,
  connectionId: string,
  connection: HeldConnection,
): HoldState | undefined {
  const sockets = socketsOf(state);
  const index = sockets.findIndex((socket) => socket.connectionId === connectionId);
  const admitted = sockets[index];
  if (admitted === undefined || !hasPeriod(state)) return undefined;
  const { epoch, rev, groups } = admitted;
  return withSockets(
    state,
    sockets.with(index, { kind: 'open', connectionId, epoch, rev, groups, connection }),
  );
}

/** The socket ended by `cause`; its newest proof becomes the linger. Undefined: the hold has no such socket. */
export function removeSocket(state: HoldState, connectionId: string, cause: string): HoldState | undefined {
  const sockets = socketsOf(state);
  const removed = sockets.find((socket) => socket.connectionId === connectionId);
  if (removed === undefined || !hasPeriod(state)) return undefined;
  const left = sockets.filter((socket) => socket !== removed);
  const linger = newerNumbered(state.linger, { proof: proofOf(removed), rev: removed.rev });
  return { ...withSockets(state, left), linger, closeCause: cause };
}

/** Sockets that were here already were connected anew: the newest one carries the new epoch. */
export function renewEpoch(state: HoldState, epoch: number): HoldState {
  const sockets = socketsOf(state);
  const newest = sockets.at(-1);
  if (newest === undefined || !hasPeriod(state)) return state;
  return withSockets(state, [...sockets.slice(0, -1), { ...newest, epoch }]);
}

/** A socket has a fresh token, of these groups. Undefined: the hold has no such socket. */
export function renewGroups(state: HoldState, connectionId: string, groups: string): HoldState | undefined {
  const sockets = socketsOf(state);
  const index = sockets.findIndex((socket) => socket.connectionId === connectionId);
  const renewed = sockets[index];
  if (renewed === undefined || !hasPeriod(state)) return undefined;
  return withSockets(state, sockets.with(index, { ...renewed, groups }));
}

/** The store told of the groups of the period, in answer to a claim that stated the version `stated` of them. */
export function hearGroups(state: HoldState, told: string, stated: number): HoldState {
  return hasPeriod(state) ? { ...state, groups: heardGroups(state.groups, { told, stated }) } : state;
}

/** The service has changed the groups of the period: `groups` is the newest text of them. */
export function giveGroups(state: HoldState, groups: string): HoldState {
  return hasPeriod(state) ? { ...state, groups: newerGroups(state.groups, groups) } : state;
}

/** A newer connection has the user: no socket is left here. The proofs of the evicted ones do not count as a linger. */
export function evict(state: HoldState): HoldState {
  return hasPeriod(state) && state.kind !== 'ending' ? withSockets(state, []) : state;
}

/**
 * The store took away what was stated up to `rev`; what came later stands. A take-over takes sockets and their linger;
 * a proof of life by HTTP stays (rule PR1). A logout takes everything.
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

/** The user proved life by HTTP. Void if a loss covers the statement `rev`. */
export function proveByHttp(state: HoldState, proof: Proof, rev: number): HoldState {
  return hasPeriod(state) && rev > state.lostRev ? { ...state, http: { proof, rev } } : state;
}

/** The store did not accept the newest proof by HTTP: the one before it stands again, unless it was lost meanwhile. */
export function restoreHttp(state: HoldState, before: NumberedProof): HoldState {
  if (!hasPeriod(state)) return state;
  return { ...state, http: before.rev > state.lostRev ? before : { ...NEVER, rev: before.rev } };
}

/** The store may have more of the user than this node knows. By `linger` the user stays alive here until that is clear. */
export function doubt(state: HoldState, linger: NumberedProof = NEVER): HoldState {
  const newest = newerNumbered(lingerOf(state), linger);
  return hasPeriod(state)
    ? { ...state, isDoubted: true, linger: newest }
    : { kind: 'in-doubt', lostRev: state.lostRev, linger: newest };
}

/** A statement that nothing is left goes to the store. */
export function stateNothingLeft(state: HoldState): HoldState {
  return state.kind === 'held' && state.sockets.length === 0 ? { ...periodOf(state), kind: 'ending' } : state;
}

/**
 * The store answered the statement of what is held. Whatever it says, nothing is in doubt any more. `held` also says
 * that no logout happened, that the hold is not missing, and that the store knows the cause that was stated.
 */
export function answered(
  state: HoldState,
  answer: { readonly isHeld: boolean; readonly statedCause: string },
): HoldState {
  if (!hasPeriod(state)) return state;
  const sockets = socketsOf(state);
  if (!answer.isHeld) return { ...withSockets(state, sockets), isDoubted: false };
  const closeCause = answer.statedCause === state.closeCause ? '' : state.closeCause;
  return { ...held(state, sockets), isDoubted: false, closeCause, endAsked: undefined };
}

/** The store has no hold of this node, at monotonic time `now`. The first time counts. */
export function miss(state: HoldState, now: number): HoldState {
  return state.kind === 'held' && isSome(state.sockets)
    ? { ...periodOf(state), kind: 'missing', sockets: state.sockets, since: now }
    : state;
}

/** A logout is asked for; undefined: none is open any more. Where no period is held, there is nothing to note. */
export function askEnd(state: HoldState, endAsked: AskedEnd | undefined): HoldState {
  return hasPeriod(state) ? { ...state, endAsked } : state;
}

/** The period is over for this node. What was in doubt still is. */
export function end(state: HoldState): Absent | InDoubt {
  const { lostRev } = state;
  return hasDoubt(state) ? { kind: 'in-doubt', lostRev, linger: NEVER } : { kind: 'absent', lostRev };
}

/** Nothing is held, and nothing is in doubt. */
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

/** The same period with other sockets: a hold whose last socket is gone is not missing but lingers. */
function withSockets(state: WithPeriod, sockets: readonly HeldSocket[]): Held | Missing {
  return state.kind === 'missing' && isSome(sockets) ? { ...state, sockets } : held(state, sockets);
}

function held(state: WithPeriod, sockets: readonly HeldSocket[]): Held {
  const { lostRev, period, loginTime, adoptedRev, linger, http, endAsked, closeCause, groups, isDoubted } =
    state;
  // In the order of `adopt`, and no spread: V8 would give each of these objects a shape of its own, of 360 bytes.
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

function isSome<Value>(values: readonly Value[]): values is OneOrMore<Value> {
  return values.length > 0;
}
