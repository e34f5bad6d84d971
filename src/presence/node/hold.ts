import type { Watched } from '../../heartbeat/monitor.ts';
import type { ObservedTime } from '../../heartbeat/observed-time.ts';
import { OFF_WHEEL, type WheelNode } from '../../heartbeat/timeout-wheel.ts';
import { assert } from '../../lib/assert.ts';
import { versionOf } from '../rules/groups.ts';
import type { Claim, Loss } from '../store/port.ts';
import {
  type ClaimDetails,
  type ClaimedProofs,
  claimedProofsOf,
  claimOf,
  type HoldTimeouts,
  isOutdated,
  NOTHING_CLAIMED,
} from './claim.ts';
import { type GroupMembers, type Membership, NO_MEMBER } from './group-members.ts';
import {
  ABSENT,
  type AskedEnd,
  addSocket,
  adopt,
  answered,
  askEnd,
  claimNothing,
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
  tokenGroups,
} from './hold-state.ts';

/** The parts that all holds of this node share. */
export interface HoldOwner {
  readonly timeouts: HoldTimeouts;
  readonly members: GroupMembers;
  /** Called when the last proof of life of a hold without a socket has expired. */
  readonly due: (hold: UserHold) => void;
}

/**
 * This node's hold of one user: its state, the lock that lets one call to the store about the user run at a time, and the
 * deadline that the heartbeat watches. `hold-state.ts` has the transitions.
 */
export class UserHold implements Watched {
  readonly userId: number;

  // The timeout wheel and the mass-timeout breaker own these four fields.
  wheelSlot = OFF_WHEEL;
  wheelPrevious: WheelNode | undefined = undefined;
  wheelNext: WheelNode | undefined = undefined;
  isHeldBack = false;

  readonly #owner: HoldOwner;
  #state: HoldState = ABSENT;
  /** The groups under which the owner's `members` list the user. */
  #shownIn: Membership = NO_MEMBER;
  #username = '';
  #ip = '';
  /** Revision of the newest claim of a login or of a heartbeat by HTTP. */
  #askedRev = 0;
  #claimed: ClaimedProofs = NOTHING_CLAIMED;
  /** Version of the groups in the newest claim. */
  #claimedGroups = 0;
  /** Revision of the newest claim of a restore that the store accepted. */
  #restoredRev = 0;
  #locked = false;
  #waiting: (() => void)[] | undefined;

  constructor(userId: number, owner: HoldOwner) {
    this.userId = userId;
    this.#owner = owner;
  }

  get state(): HoldState {
    return this.#state;
  }

  /** 0: this node holds no period of the user. */
  get period(): number {
    return hasPeriod(this.#state) ? this.#state.period : 0;
  }

  /** When the period began, wall clock. 0: this node holds no period of the user. */
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

  /** Whether this node has nothing to claim about the user. */
  get isAbsent(): boolean {
    return this.#state.kind === 'absent';
  }

  /** A logout without an answer of the store so far. */
  get endAsked(): AskedEnd | undefined {
    return hasPeriod(this.#state) ? this.#state.endAsked : undefined;
  }

  get httpProof(): NumberedProof {
    return httpProof(this.#state);
  }

  get locked(): boolean {
    return this.#locked;
  }

  /** One call to the store about a user runs at a time. Undefined: the caller may go on. Otherwise it waits for the promise. */
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

  /** Keeps the name and address of the newest login. */
  introduce(login: { readonly username?: string; readonly ip: string }): void {
    this.#username = login.username ?? this.#username;
    this.#ip = login.ip;
  }

  /** The store accepted the newest login or heartbeat by HTTP: this node holds the period. */
  adopt(accepted: { readonly period: number; readonly loginTime: number; readonly groups?: string }): void {
    this.#become(adopt(this.#state, accepted, this.#askedRev));
    this.hearGroups(accepted.groups);
  }

  addSocket(socket: HeldSocket): void {
    assert(this.#state.kind === 'held', 'the store has accepted the socket');
    this.#become(addSocket(this.#state, socket));
  }

  /** False: the hold has no such socket. */
  openSocket(connectionId: string, connection: HeldConnection): boolean {
    const opened = openSocket(this.#state, connectionId, connection);
    if (opened !== undefined) this.#become(opened);
    return opened !== undefined;
  }

  /** A socket closed by `cause`. False: the hold has no such socket. */
  removeSocket(connectionId: string, cause: string): boolean {
    const socket = this.sockets.find((held) => held.connectionId === connectionId);
    const removed = removeSocket(this.#state, connectionId, cause);
    if (socket === undefined || removed === undefined) return false;
    this.#become(removed);
    this.isHeldBack = socket.kind === 'open' && socket.connection.isHeldBack;
    return true;
  }

  /** A socket renewed its token, which has these groups. False: the hold has no such socket, or the groups did not change. */
  renewGroups(connectionId: string, groups: string): boolean {
    const socket = this.sockets.find((held) => held.connectionId === connectionId);
    const renewed = renewGroups(this.#state, connectionId, groups);
    if (renewed === undefined || socket?.groups === groups) return false;
    this.#become(renewed);
    return true;
  }

  /** The groups that the service gave in this period, as this node knows them. */
  get givenGroups(): string {
    return givenGroups(this.#state);
  }

  /** The store answered the newest claim with these groups. Undefined: nothing new. */
  hearGroups(told: string | undefined): void {
    if (told !== undefined) this.#become(hearGroups(this.#state, told, this.#claimedGroups));
  }

  /** The service changed the groups to these. */
  giveGroups(groups: string): void {
    this.#become(giveGroups(this.#state, groups));
  }

  /** Gives the newest socket another epoch. */
  renewEpoch(epoch: number): void {
    this.#become(renewEpoch(this.#state, epoch));
  }

  /** Drops all sockets, because a newer connection replaces them. Returns them; the caller closes them. */
  evict(): readonly HeldSocket[] {
    const evicted = this.sockets;
    this.#become(evict(this.#state));
    return evicted;
  }

  /** Drops what the loss covers. Returns the lost sockets; the caller closes them. */
  lose(loss: Pick<Loss, 'rev' | 'reason'>): readonly HeldSocket[] {
    const before = this.sockets;
    this.#become(lose(this.#state, loss));
    return before.filter((socket) => socket.rev <= loss.rev);
  }

  /** A proof of life by HTTP. The claim `rev` reports it. */
  proveByHttp(proof: Proof, rev: number): void {
    this.#become(proveByHttp(this.#state, proof, rev));
  }

  /** The store did not accept the newest proof of life by HTTP: `before` counts again. */
  restoreHttp(before: NumberedProof): void {
    this.#become(restoreHttp(this.#state, before));
  }

  /** A heartbeat by HTTP of a user who is online on this node. A loss of the present hold covers it too. */
  beat(proof: Proof): void {
    if (!hasPeriod(this.#state)) return;
    const { http, adoptedRev } = this.#state;
    this.proveByHttp(proof, Math.max(http.rev, adoptedRev));
  }

  /** The store may have more of the user than this node knows. */
  doubt(): void {
    this.#become(doubt(this.#state));
  }

  /** As {@link doubt}. `proof` keeps the user online until this node has found out. An earlier loss does not cover it. */
  lingerInDoubt(proof: Proof): void {
    this.#become(doubt(this.#state, { proof, rev: this.#askedRev }));
  }

  /** The store answered a claim of mode `state`. */
  answered(answer: {
    readonly isHeldInStore: boolean;
    readonly claimedCause: string;
    readonly groups?: string | undefined;
  }): void {
    this.#become(answered(this.#state, answer));
    this.hearGroups(answer.groups);
  }

  /** The store accepted the claim `rev` of a restore, and knows these groups. */
  restored(rev: number, groups: string | undefined): void {
    this.#restoredRev = rev;
    this.hearGroups(groups);
  }

  /** Whether a restore has given this hold back to the store after the claim `rev`. */
  isRestoredSince(rev: number): boolean {
    return this.#restoredRev > rev;
  }

  /** The store has no hold of this node for the user. Returns the time at which this node noticed that first. */
  missingSince(monotonic: number): number {
    this.#become(miss(this.#state, monotonic));
    return this.#state.kind === 'missing' ? this.#state.since : monotonic;
  }

  askEnd(asked: AskedEnd | undefined): void {
    this.#become(askEnd(this.#state, asked));
  }

  /** The period is over for this node. A doubt remains. */
  end(): void {
    this.#become(end(this.#state));
    this.isHeldBack = false;
  }

  /** This node holds nothing of the user any more, without doubt. */
  forget(): void {
    this.#become(forget(this.#state));
    this.isHeldBack = false;
  }

  /** Whether anything keeps the user online on this node at observed time `now`. */
  isAlive(now: number): boolean {
    return this.sockets.length > 0 || this.dueAt() > now;
  }

  /** Whether it is certain that the period runs: the store has the hold, and no call and no logout waits for an answer. */
  get isSettled(): boolean {
    return this.#state.kind === 'held' && !this.#locked && this.endAsked === undefined;
  }

  /** Number of sockets whose newest proof of life is younger than `responsiveMs` at observed time `now` (rule PR4). */
  responsiveSockets(now: number, responsiveMs: number): number {
    return this.sockets.filter((socket) => now - proofOf(socket).observed < responsiveMs).length;
  }

  /** Whether a socket of this node proved life after monotonic time `since`. */
  livedSince(since: number): boolean {
    return this.sockets.some((socket) => proofOf(socket).monotonic > since);
  }

  newestProof(): Proof {
    return newestProof(this.#state);
  }

  /** Observed time at which the hold ends if no proof of life comes. An open socket has its own deadline. */
  dueAt(): number {
    return expiresAt(this.#state, this.#owner.timeouts) + this.#graceMs();
  }

  /**
   * If the user has a socket, the connection times out, not the hold. If there is no proof at all, as after a take-over by
   * another node, the user does not time out on this node.
   */
  timesOutAt(): number {
    const dueAt = this.dueAt();
    return this.sockets.length > 0 || !Number.isFinite(dueAt) ? Number.POSITIVE_INFINITY : dueAt;
  }

  attend(now: number): boolean {
    if (this.sockets.length > 0) return false;
    if (this.dueAt() > now) return true;
    this.#owner.due(this);
    return false;
  }

  /** Whether the last claim is too old, see {@link isOutdated}. */
  isClaimOutdated(monotonic: number, oldMs: number): boolean {
    return isOutdated(this.#claimed, this.#state, { monotonic, oldMs });
  }

  /** Makes a claim of what this node holds now. The caller sends it to the store at once. */
  claim(time: ObservedTime, details: ClaimDetails): Claim {
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
      details,
    );
    this.#claimedGroups = versionOf(claim.serviceGroups);
    if (details.mode === 'state' || details.mode === 'restate')
      this.#claimed = claimedProofsOf(this.#state, monotonic);
    else this.#askedRev = details.rev;
    if (details.mode === 'state' && claim.sockets + claim.socketMs + claim.httpMs === 0)
      this.#become(claimNothing(this.#state));
    return claim;
  }

  /** The only place that sets the state. It keeps the list of group members in step. */
  #become(state: HoldState): void {
    this.#state = state;
    const given = givenGroups(state);
    const byToken = tokenGroups(socketsOf(state));
    if (given === this.#shownIn.given && byToken === this.#shownIn.byToken) return;
    const membership = { given, byToken };
    this.#owner.members.moved(this.userId, this.#shownIn, membership);
    this.#shownIn = membership;
  }

  /** The mass-timeout breaker gave the last socket one more timeout (rule HB6). */
  #graceMs(): number {
    return this.isHeldBack && this.sockets.length === 0 ? this.#owner.timeouts.heartbeatTimeoutMs : 0;
  }
}
