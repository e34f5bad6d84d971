import type { ClientConnection } from '../../connection/client-connection.ts';
import type { Watched } from '../../heartbeat/monitor.ts';
import type { ObservedTime } from '../../heartbeat/observed-time.ts';
import { OFF_WHEEL, type WheelNode } from '../../heartbeat/timeout-wheel.ts';
import type { Claim } from '../store/port.ts';

/** A proof of life: observed time for deadlines, monotonic time for its real age. */
export interface Proof {
  readonly observed: number;
  readonly monotonic: number;
}

/** Age stated where there is no proof: older than any that a store has. */
const FORGOTTEN_MS = 1e11;

/** The seed's hash lives for 60 s from one statement to the next. */
const RESTATED_AFTER_MS = 20_000;

export const NO_PROOF: Proof = { observed: Number.NEGATIVE_INFINITY, monotonic: Number.NEGATIVE_INFINITY };

/** A socket that this node holds for a user; `connection` is absent until the socket opened. */
export interface HeldSocket {
  readonly connectionId: string;
  readonly epoch: number;
  /** The statement that brought it: a loss takes what is not newer. */
  readonly rev: number;
  /** Forgotten once the connection is there, which knows better. */
  dialled: Proof;
  connection: ClientConnection | undefined;
}

export interface HoldTimeouts {
  readonly heartbeatTimeoutMs: number;
  readonly httpTimeoutMs: number;
}

/** What this node holds of one user: sockets, the linger after the last one, and a proof of life by HTTP. */
export class UserHold implements Watched {
  readonly userId: number;
  /** 0 while no period was claimed. */
  period = 0;
  loginTime = 0;
  /** Newest epoch that this node knows of the user. */
  epoch = 0;
  username = '';
  ip = '';
  sockets: HeldSocket[] = [];
  http: Proof = NO_PROOF;
  httpRev = 0;
  /** Of the statement by which this node came to hold the running period. */
  adoptedRev = 0;
  /** A statement about this user may have reached the store though no answer came: it must be told what is true. */
  uncertain = false;
  /** The store was told that nothing is left here, and has not answered: the period may be over. */
  mayHaveEnded = false;
  /** A logout was asked for and its answer never came: where the store no longer has the user, it happened. */
  endAsked: { readonly reason: 'logout' | 'kick'; readonly note: string | undefined } | undefined;
  /** Monotonic time at which the store was found to have no hold of the user here, until that is settled. */
  goneAt: number | undefined;
  /** Monotonic time at which SQL was last told that the period is here; undefined: not since it came. */
  rowToldAt: number | undefined;
  /** Why the newest socket that is gone ended, until the store was told; empty: it was. */
  closeCause = '';

  wheelSlot = OFF_WHEEL;
  wheelPrevious: WheelNode | undefined = undefined;
  wheelNext: WheelNode | undefined = undefined;
  isHeld = false;

  readonly #timeouts: HoldTimeouts;
  readonly #due: (hold: UserHold) => void;
  /** Newest proof of the sockets that are gone. */
  #gone: Proof = NO_PROOF;
  #goneRev = 0;
  /** Proofs up to this revision are void. */
  #lostRev = -1;
  #askedRev = 0;
  /** Monotonic times: of the newest proofs in the newest statement, of anything and of sockets, and of that statement. */
  #statedProof = Number.NEGATIVE_INFINITY;
  #statedSocketProof = Number.NEGATIVE_INFINITY;
  #statedAt = Number.NEGATIVE_INFINITY;
  #locked = false;
  #waiting: (() => void)[] | undefined;

  constructor(userId: number, timeouts: HoldTimeouts, due: (hold: UserHold) => void) {
    this.userId = userId;
    this.#timeouts = timeouts;
    this.#due = due;
  }

  get locked(): boolean {
    return this.#locked;
  }

  /** One statement about a user is under way at a time: the others wait in turn. */
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

  /** Removes a socket that ended by `cause`; false where it was none of this hold's. */
  removeSocket(connectionId: string, cause: string): boolean {
    const socket = this.sockets.find((held) => held.connectionId === connectionId);
    if (socket === undefined) return false;
    this.sockets = this.sockets.filter((held) => held !== socket);
    this.isHeld = socket.connection?.isHeld ?? false;
    this.#gone = newer(this.#gone, proofOf(socket));
    this.#goneRev = Math.max(this.#goneRev, socket.rev);
    this.closeCause = cause;
    return true;
  }

  /** The newest login, or proof of life by HTTP, was accepted: this node holds the period. */
  adopt(accepted: { readonly period: number; readonly loginTime: number }): void {
    this.period = accepted.period;
    this.loginTime = accepted.loginTime;
    this.adoptedRev = this.#askedRev;
    this.goneAt = undefined;
    this.endAsked = undefined;
    this.mayHaveEnded = false;
  }

  /** Forgets proofs of an ended period. */
  reset(): void {
    this.period = 0;
    this.sockets = [];
    this.http = NO_PROOF;
    this.#gone = NO_PROOF;
    this.isHeld = false;
    this.closeCause = '';
    this.goneAt = undefined;
  }

  /** Forgets the proofs of sockets that are gone, and of HTTP, as far as they were stated up to `rev`. */
  forgetProofs(rev: number): void {
    this.#lostRev = Math.max(this.#lostRev, rev);
    if (this.httpRev <= rev) this.http = NO_PROOF;
    this.forgetLinger(rev);
  }

  /** Forgets the proofs of sockets that are gone, as far as they were stated up to `rev`. */
  forgetLinger(rev: number): void {
    if (this.#goneRev <= rev) this.#gone = NO_PROOF;
  }

  /** A dial reached this node, whatever became of it: the user lingers by it. What was lost before it is no loss of it. */
  noteProof(proof: Proof): void {
    this.#gone = newer(this.#gone, proof);
    this.#goneRev = Math.max(this.#goneRev, this.#askedRev);
  }

  /** A proof of life by HTTP, now; void once a loss covers the statement `rev`. */
  proveByHttp(time: ObservedTime, rev: number): void {
    if (rev <= this.#lostRev) return;
    this.http = { observed: time.now(), monotonic: time.monotonic };
    this.httpRev = rev;
  }

  /** Takes back a proof by HTTP that was not accepted: the one before it stands, unless it was lost meanwhile. */
  restoreHttp(before: { readonly proof: Proof; readonly rev: number }): void {
    this.http = before.rev > this.#lostRev ? before.proof : NO_PROOF;
    this.httpRev = before.rev;
  }

  /** Whether anything keeps the user online here at observed time `now`. */
  isAlive(now: number): boolean {
    return this.sockets.length > 0 || this.dueAt() > now;
  }

  /** Sockets whose newest proof of life is younger than `livelyMs` at observed time `now` (rule PR4). */
  livelySockets(now: number, livelyMs: number): number {
    return this.sockets.filter((socket) => now - proofOf(socket).observed < livelyMs).length;
  }

  /** Whether a socket here proved life after monotonic time `since`. */
  livedSince(since: number): boolean {
    return this.sockets.some((socket) => proofOf(socket).monotonic > since);
  }

  newestProof(): Proof {
    return newer(this.#socketProof(), this.http);
  }

  /** While a socket lives its own deadline decides; then the linger and the HTTP proof. */
  dueAt(): number {
    const { heartbeatTimeoutMs, httpTimeoutMs } = this.#timeouts;
    const due = Math.max(
      this.#socketProof().observed + heartbeatTimeoutMs,
      this.http.observed + httpTimeoutMs,
    );
    return due + this.#grace();
  }

  /** Without a socket the user's own time-out is this hold's; with one it is the connection's. */
  timesOutAt(): number {
    return this.sockets.length > 0 ? Number.POSITIVE_INFINITY : this.dueAt();
  }

  attend(now: number): boolean {
    if (this.sockets.length > 0) return false;
    if (this.dueAt() > now) return true;
    this.#due(this);
    return false;
  }

  /** Whether what was stated of a proof is older than `oldMs` and there is a newer one, or nothing was stated for long. */
  isUntold(monotonic: number, oldMs: number): boolean {
    const isOld = (stated: number, newest: Proof): boolean =>
      newest.monotonic > stated && monotonic - stated >= oldMs;
    // A take-over goes by the proofs of sockets alone: one by HTTP must not hide that they are old.
    return (
      isOld(this.#statedProof, this.newestProof()) ||
      isOld(this.#statedSocketProof, this.#socketProof()) ||
      monotonic - this.#statedAt >= RESTATED_AFTER_MS
    );
  }

  /** The statement of what is held, with ages and remainders of this very moment. */
  claim(
    mode: Claim['mode'],
    time: ObservedTime,
    stated: {
      readonly rev: number;
      readonly rivals?: number;
      readonly floor?: number;
      readonly sockets?: number;
      /** Mode `socket`, for sockets that are here already: they prove nothing by being stated. */
      readonly reopens?: boolean;
    },
  ): Claim {
    const { heartbeatTimeoutMs, httpTimeoutMs } = this.#timeouts;
    const now = time.now();
    const { monotonic } = time;
    const dialling = mode === 'socket' && stated.reopens !== true;
    const socket = dialling ? { observed: now, monotonic } : this.#socketProof();
    const newest = newer(socket, this.http);
    // After a loss nothing may be left, not even a proof.
    const until = Math.max(socket.monotonic + heartbeatTimeoutMs, this.http.monotonic + httpTimeoutMs);
    const proven = Number.isFinite(until);
    const grace = this.#grace();
    if (mode === 'state' || mode === 'restate') {
      this.#statedProof = newest.monotonic;
      this.#statedSocketProof = socket.monotonic;
      this.#statedAt = monotonic;
    } else this.#askedRev = stated.rev;
    const sockets = stated.sockets ?? this.sockets.length;
    const socketMs = remainder(socket.observed + heartbeatTimeoutMs + grace - now);
    const httpMs = remainder(this.http.observed + httpTimeoutMs + grace - now);
    if (mode === 'state' && sockets + socketMs + httpMs === 0) this.mayHaveEnded = true;
    return {
      ...{
        userId: this.userId,
        mode,
        rev: stated.rev,
        sockets,
        rivals: stated.rivals ?? 0,
        socketMs,
        httpMs,
      },
      proofAgeMs: proven ? Math.max(0, Math.round(monotonic - newest.monotonic)) : FORGOTTEN_MS,
      untilMs: proven ? Math.round(until - monotonic) : -FORGOTTEN_MS,
      proofMark: proven ? `${Math.round(newest.monotonic)}_${Math.round(until)}` : '',
      epoch: dialling ? 0 : this.sockets.reduce((highest, held) => Math.max(highest, held.epoch), 0),
      floor: stated.floor ?? 0,
      period: mode === 'restate' ? this.period : 0,
      loginTime: mode === 'restate' ? this.loginTime : 0,
      username: this.username,
      ip: this.ip,
      cause: mode === 'state' ? this.closeCause : '',
    };
  }

  #grace(): number {
    return this.isHeld && this.sockets.length === 0 ? this.#timeouts.heartbeatTimeoutMs : 0;
  }

  #socketProof(): Proof {
    return this.sockets.reduce((newest, socket) => newer(newest, proofOf(socket)), this.#gone);
  }
}

function proofOf({ connection, dialled }: HeldSocket): Proof {
  return connection === undefined
    ? dialled
    : { observed: connection.provenAt, monotonic: connection.provenAtMonotonic };
}

function newer(left: Proof, right: Proof): Proof {
  return right.observed > left.observed ||
    (right.observed === left.observed && right.monotonic > left.monotonic)
    ? right
    : left;
}

/** Whole ms, rounded up: a store must never think a deadline nearer than it is. 0: there is none, or it has passed. */
function remainder(ms: number): number {
  return ms > 0 ? Math.ceil(ms) : 0;
}
