import type { Watched } from '../../heartbeat/monitor.ts';
import type { ObservedTime } from '../../heartbeat/observed-time.ts';
import { OFF_WHEEL, type WheelNode } from '../../heartbeat/timeout-wheel.ts';
import { assert } from '../../lib/assert.ts';
import { versionOf } from '../rules/groups.ts';
import type { Claim, Loss } from '../store/port.ts';
import { type GroupMembers, type Membership, NO_MEMBER } from './group-members.ts';
import {
  ABSENT,
  type AskedEnd,
  addSocket,
  adopt,
  answered,
  askEnd,
  doubt,
  end,
  evict,
  expiresAt,
  forget,
  giveGroups,
  givenGroups,
  type HeldConnection,
  type HeldSocket,
  type HoldState,
  hasPeriod,
  hearGroups,
  httpProof,
  lose,
  miss,
  type NumberedProof,
  newestProof,
  openSocket,
  type Proof,
  proofOf,
  proveByHttp,
  removeSocket,
  renewEpoch,
  renewGroups,
  restoreHttp,
  socketsOf,
  stateNothingLeft,
  tokenGroups,
} from './hold-state.ts';
import {
  claimOf,
  type HoldTimeouts,
  isOutdated,
  NOTHING_TOLD,
  type Statement,
  type ToldProofs,
  toldOf,
} from './statement.ts';

/** What all holds of this node share. */
export interface HoldOwner {
  readonly timeouts: HoldTimeouts;
  readonly members: GroupMembers;
  /** The last proof of life of a hold without a socket has run out. */
  readonly due: (hold: UserHold) => void;
}

/**
 * What this node holds of one user: the state, whose turn it is to change it by a call to the store, and the deadline
 * that the heartbeat watches. How states follow each other is in `hold-state.ts`.
 */
export class UserHold implements Watched {
  readonly userId: number;

  // The wheel and the mass-timeout breaker keep these four.
  wheelSlot = OFF_WHEEL;
  wheelPrevious: WheelNode | undefined = undefined;
  wheelNext: WheelNode | undefined = undefined;
  isHeld = false;

  readonly #owner: HoldOwner;
  #state: HoldState = ABSENT;
  /** Groups in which the members of the owner have the user. */
  #shownIn: Membership = NO_MEMBER;
  #username = '';
  #ip = '';
  /** The newest statement that asks to come in. */
  #askedRev = 0;
  #told: ToldProofs = NOTHING_TOLD;
  /** Version of the groups in the newest statement. */
  #statedGroups = 0;
  #locked = false;
  #waiting: (() => void)[] | undefined;

  constructor(userId: number, owner: HoldOwner) {
    this.userId = userId;
    this.#owner = owner;
  }

  get state(): HoldState {
    return this.#state;
  }

  /** 0: none is held here. */
  get period(): number {
    return hasPeriod(this.#state) ? this.#state.period : 0;
  }

  /** When the period began, wall clock; 0: none is held here. */
  get loginTime(): number {
    return hasPeriod(this.#state) ? this.#state.loginTime : 0;
  }

  get username(): string {
    return this.#username;
  }

  get ip(): string {
    return this.#ip;
  }

  get sockets(): readonly HeldSocket[] {
    return socketsOf(this.#state);
  }

  /** Whether this node has nothing to tell the store about the user. */
  get isAbsent(): boolean {
    return this.#state.kind === 'absent';
  }

  /** A logout that was asked for and whose answer has not come. */
  get endAsked(): AskedEnd | undefined {
    return hasPeriod(this.#state) ? this.#state.endAsked : undefined;
  }

  get httpProof(): NumberedProof {
    return httpProof(this.#state);
  }

  get locked(): boolean {
    return this.#locked;
  }

  /** One statement about a user is under way at a time. Undefined: the caller may go on; else once this resolves. */
  lock(): Promise<void> | undefined {
    if (!this.#locked) {
      this.#locked = true;
      return undefined;
    }
    return new Promise((resolve) => {
      this.#waiting ??= [];
      this.#waiting.push(resolve);
    });
  }

  unlock(): void {
    const next = this.#waiting?.shift();
    if (next === undefined) this.#locked = false;
    else next();
  }

  /** Who the user is, as the newest login says. */
  introduce(login: { readonly username?: string; readonly ip: string }): void {
    this.#username = login.username ?? this.#username;
    this.#ip = login.ip;
  }

  /** The newest login, or proof of life by HTTP, was accepted: this node holds the period. */
  adopt(accepted: { readonly period: number; readonly loginTime: number; readonly groups?: string }): void {
    this.#become(adopt(this.#state, accepted, this.#askedRev));
    this.hearGroups(accepted.groups);
  }

  addSocket(socket: HeldSocket): void {
    assert(hasPeriod(this.#state), 'a socket belongs to a period');
    this.#become(addSocket(this.#state, socket));
  }

  /** False: the hold has no such socket. */
  openSocket(connectionId: string, connection: HeldConnection): boolean {
    const opened = openSocket(this.#state, connectionId, connection);
    if (opened !== undefined) this.#become(opened);
    return opened !== undefined;
  }

  /** A socket ended by `cause`. False: the hold has no such socket. */
  removeSocket(connectionId: string, cause: string): boolean {
    const socket = this.sockets.find((held) => held.connectionId === connectionId);
    const removed = removeSocket(this.#state, connectionId, cause);
    if (socket === undefined || removed === undefined) return false;
    this.#become(removed);
    this.isHeld = socket.kind === 'open' && socket.connection.isHeld;
    return true;
  }

  /** A socket has a fresh token, of these groups. False: the hold has no such socket, or they are as they were. */
  renewGroups(connectionId: string, groups: string): boolean {
    const socket = this.sockets.find((held) => held.connectionId === connectionId);
    const renewed = renewGroups(this.#state, connectionId, groups);
    if (renewed === undefined || socket?.groups === groups) return false;
    this.#become(renewed);
    return true;
  }

  /** Groups that the service gave in this period, as this node knows them. */
  get givenGroups(): string {
    return givenGroups(this.#state);
  }

  /** What the store told of them in answer to the newest statement; undefined: nothing new. */
  hearGroups(told: string | undefined): void {
    if (told !== undefined) this.#become(hearGroups(this.#state, told, this.#statedGroups));
  }

  /** The newest text of them. */
  giveGroups(groups: string): void {
    this.#become(giveGroups(this.#state, groups));
  }

  /** The newest socket here carries another epoch from now on. */
  renewEpoch(epoch: number): void {
    this.#become(renewEpoch(this.#state, epoch));
  }

  /** Drops all sockets, for a newer connection has the user. Answers them, to be closed. */
  evict(): readonly HeldSocket[] {
    const evicted = this.sockets;
    this.#become(evict(this.#state));
    return evicted;
  }

  /** Drops what the store took away. Answers the lost sockets, to be closed. */
  lose(loss: Pick<Loss, 'rev' | 'reason'>): readonly HeldSocket[] {
    const before = this.sockets;
    this.#become(lose(this.#state, loss));
    return before.filter((socket) => socket.rev <= loss.rev);
  }

  /** A proof of life by HTTP that the store knows from the statement `rev`. */
  proveByHttp(proof: Proof, rev: number): void {
    this.#become(proveByHttp(this.#state, proof, rev));
  }

  /** The newest proof of life by HTTP was not accepted: `before` stands again. */
  restoreHttp(before: NumberedProof): void {
    this.#become(restoreHttp(this.#state, before));
  }

  /** A proof of life by HTTP to a user who is online here. A loss of what is held here now covers it too. */
  beat(proof: Proof): void {
    if (!hasPeriod(this.#state)) return;
    const { http, adoptedRev } = this.#state;
    this.proveByHttp(proof, Math.max(http.rev, adoptedRev));
  }

  /** The store may have more of the user than this node knows of. */
  doubt(): void {
    this.#become(doubt(this.#state));
  }

  /** As {@link doubt}; the user stays alive here by `proof` until that is clear. An earlier loss does not cover it. */
  lingerInDoubt(proof: Proof): void {
    this.#become(doubt(this.#state, { proof, rev: this.#askedRev }));
  }

  /** The store answered a statement of what is held. */
  answered(answer: {
    readonly isHeld: boolean;
    readonly statedCause: string;
    readonly groups?: string | undefined;
  }): void {
    this.#become(answered(this.#state, answer));
    this.hearGroups(answer.groups);
  }

  /** The store has no hold of this node for sockets that are here. Answers since when this node knows. */
  missingSince(monotonic: number): number {
    this.#become(miss(this.#state, monotonic));
    return this.#state.kind === 'missing' ? this.#state.since : monotonic;
  }

  askEnd(asked: AskedEnd | undefined): void {
    this.#become(askEnd(this.#state, asked));
  }

  /** The period is over for this node; what was in doubt still is. */
  end(): void {
    this.#become(end(this.#state));
    this.isHeld = false;
  }

  /** Nothing is held here any more, and nothing is in doubt. */
  forget(): void {
    this.#become(forget(this.#state));
    this.isHeld = false;
  }

  /** Whether anything keeps the user online here at observed time `now`. */
  isAlive(now: number): boolean {
    return this.sockets.length > 0 || this.dueAt() > now;
  }

  /** Whether no end of the period here is under way, or may have come. */
  get isSettled(): boolean {
    const { kind } = this.#state;
    return (kind === 'held' || kind === 'missing') && !this.#locked && this.endAsked === undefined;
  }

  /** Sockets whose newest proof of life is younger than `responsiveMs` at observed time `now` (rule PR4). */
  responsiveSockets(now: number, responsiveMs: number): number {
    return this.sockets.filter((socket) => now - proofOf(socket).observed < responsiveMs).length;
  }

  /** Whether a socket here proved life after monotonic time `since`. */
  livedSince(since: number): boolean {
    return this.sockets.some((socket) => proofOf(socket).monotonic > since);
  }

  newestProof(): Proof {
    return newestProof(this.#state);
  }

  /** Observed time at which the hold ends for want of a proof of life. A living socket has a deadline of its own. */
  dueAt(): number {
    return expiresAt(this.#state, this.#owner.timeouts) + this.#graceMs();
  }

  /** With a socket the user times out by the connection; without one, by this hold. */
  timesOutAt(): number {
    return this.sockets.length > 0 ? Number.POSITIVE_INFINITY : this.dueAt();
  }

  attend(now: number): boolean {
    if (this.sockets.length > 0) return false;
    if (this.dueAt() > now) return true;
    this.#owner.due(this);
    return false;
  }

  /** Whether the store should hear of the proofs here again; see {@link isOutdated}. */
  isUntold(monotonic: number, oldMs: number): boolean {
    return isOutdated(this.#told, this.#state, { monotonic, oldMs });
  }

  /** A statement of what is held here now, about to go to the store. */
  claim(time: ObservedTime, said: Statement): Claim {
    const observed = time.now();
    const { monotonic } = time;
    const claim = claimOf(
      this.#state,
      {
        userId: this.userId,
        username: this.#username,
        ip: this.#ip,
        ...this.#owner.timeouts,
        now: { observed, monotonic },
        graceMs: this.#graceMs(),
      },
      said,
    );
    this.#statedGroups = versionOf(claim.serviceGroups);
    if (said.mode === 'state' || said.mode === 'restate') this.#told = toldOf(this.#state, monotonic);
    else this.#askedRev = said.rev;
    if (said.mode === 'state' && claim.sockets + claim.socketMs + claim.httpMs === 0)
      this.#become(stateNothingLeft(this.#state));
    return claim;
  }

  /** The only way to another state: the groups follow it. */
  #become(state: HoldState): void {
    this.#state = state;
    const given = givenGroups(state);
    const byToken = tokenGroups(socketsOf(state));
    if (given === this.#shownIn.given && byToken === this.#shownIn.byToken) return;
    const membership = { given, byToken };
    this.#owner.members.moved(this.userId, this.#shownIn, membership);
    this.#shownIn = membership;
  }

  /** The mass-timeout breaker holds the last socket's proof for one more timeout (rule HB6). */
  #graceMs(): number {
    return this.isHeld && this.sockets.length === 0 ? this.#owner.timeouts.heartbeatTimeoutMs : 0;
  }
}
