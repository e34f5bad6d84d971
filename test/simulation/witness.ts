import type { Dial } from '../../src/presence/presence.ts';
import type { Claim, ClaimAnswer, EndAnswer, EndRequest } from '../../src/presence/presence-store.ts';
import type { Duty } from '../../src/settlement/user-store.ts';
import { type Scheduler, wallAt } from './scheduler.ts';
import { HEARTBEAT_TIMEOUT_MS, HTTP_TIMEOUT_MS, type SimulatedNode } from './simulated-node.ts';
import type { SimulatedRedis } from './simulated-redis.ts';

type Kind = 'socket' | 'http';

interface ProofSeen {
  readonly node: SimulatedNode;
  readonly kind: Kind;
  readonly at: number;
}

interface ToldPeriod {
  readonly userId: number;
  readonly period: number;
  readonly loginTime: number;
}

const TIMEOUT: Readonly<Record<Kind, number>> = { socket: HEARTBEAT_TIMEOUT_MS, http: HTTP_TIMEOUT_MS };
/** A node without a sign of life for about as long looks dead (bounds of the protocol). */
const LOOKS_DEAD_MS = 9000;
/** A proof is recorded within this time where nothing hinders it. */
const RECORDED_WITHIN_MS = 5000;
const ROUNDING_MS = 30;

/** Knows what the clients know to be true, and holds what happens against it. */
export class Witness {
  readonly violations: string[] = [];
  /** Periods that a node told somebody of. */
  readonly told = new Map<string, ToldPeriod>();
  /** Moment of the newest wipe or rollback. */
  lostMemoryAt = Number.NEGATIVE_INFINITY;
  /** Redis last could not be reached, or lost something. */
  disturbedUntil = Number.NEGATIVE_INFINITY;
  /** A wall clock was stepped: times of different moments no longer compare. */
  stepped = false;
  nodeDied = false;
  rolledBack = false;
  /** OPEN: users who come back by themselves after a logout; to be always on once none does. */
  watchesReturns = true;
  /** Calls of some node were late until then. */
  slowUntil = Number.NEGATIVE_INFINITY;
  readonly #scheduler: Scheduler;
  readonly #redis: () => SimulatedRedis;
  readonly #trace: (text: () => string) => void;
  readonly #proofs = new Map<number, Map<string, ProofSeen>>();
  readonly #newestEpoch = new Map<number, number>();
  readonly #ended = new Set<string>();
  /** What the newest logout put an end to. */
  #before: readonly ProofSeen[] = [];
  /** Latest deadline that somebody's knocking alone could give, for each user: an answer that was lost may have counted. */
  readonly #knocked = new Map<number, number>();
  readonly #asking = new Map<number, number>();
  readonly #loggedOutAt = new Map<number, number>();
  readonly #loggedOutBy = new Map<number, string>();
  /** When a node last heard of the user in any way. */
  readonly #shownAt = new Map<number, number>();
  /** Newest epoch minted for a dial that no node has accepted. */
  readonly #unanswered = new Map<number, { readonly epoch: number; readonly at: number }>();

  constructor(options: {
    scheduler: Scheduler;
    redis: () => SimulatedRedis;
    trace: (text: () => string) => void;
  }) {
    this.#scheduler = options.scheduler;
    this.#redis = options.redis;
    this.#trace = options.trace;
  }

  violated(text: string): void {
    this.#trace(() => `VIOLATION ${text}`);
    this.violations.push(`${Math.round(this.#scheduler.now)} ms: ${text}`);
  }

  accepted(node: SimulatedNode, { userId, epoch, period, loginTime }: Dial): void {
    const newest = this.#newestEpoch.get(userId) ?? 0;
    this.#newestEpoch.set(userId, Math.max(newest, epoch));
    if (this.#unanswered.get(userId)?.epoch === epoch) this.#unanswered.delete(userId);
    this.told.set(`${userId}:${period}`, { userId, period, loginTime });
    this.proved(node, { userId, period, kind: 'socket' });
  }

  /** An HTTP login or heartbeat that arrived at `at` was answered well. */
  loggedIn(node: SimulatedNode, userId: number, at: number): void {
    this.#knocks(userId, this.#scheduler.now + HTTP_TIMEOUT_MS);
    const record = this.#redis().world.records.get(userId);
    if (record === undefined || !record.recorded) return;
    const { period, loginTime } = record;
    this.told.set(`${userId}:${period}`, { userId, period, loginTime });
    this.proved(node, { userId, period, kind: 'http', at });
  }

  /** The node heard of the user. What a socket says whose period has ended, and that its node no longer holds, is void. */
  proved(node: SimulatedNode, proof: { userId: number; period: number; kind: Kind; at?: number }): void {
    const { userId, period, kind } = proof;
    this.#shownAt.set(userId, this.#scheduler.now);
    const held = this.#redis().world.records.get(userId)?.holds.has(node.name) === true;
    const isLost = this.#scheduler.now - this.lostMemoryAt < 5000;
    // What a taken socket says before its node hears of the loss is void as well.
    if (!held && (!isLost || this.#ended.has(`${userId}:${period}`))) return;
    const proofs = this.#proofs.get(userId) ?? new Map<string, ProofSeen>();
    this.#proofs.set(userId, proofs);
    proofs.set(`${node.name} ${kind}`, { node, kind, at: proof.at ?? this.#scheduler.now });
  }

  minted(
    claim: Claim,
    answer: Extract<ClaimAnswer, { kind: 'opened' | 'joined' }>,
    caller: { readonly node: string },
  ): void {
    const { userId } = claim;
    const newest = this.#newestEpoch.get(userId) ?? 0;
    // Known only to a node that was away while Redis lost its memory and its clock fell (bounds of the protocol).
    const isKnown = !this.stepped || this.lostMemoryAt < 0;
    if (answer.epoch <= newest && isKnown)
      this.violated(`[PR3] user ${userId} got epoch ${answer.epoch} after ${newest}`);
    if (answer.kind !== 'opened' || this.#ended.has(`${userId}:${answer.period}`)) return;
    this.#trace(() => `Redis opens ${userId}:${answer.period}`);
    const isAsked = claim.mode === 'socket' ? claim.epoch === 0 : (this.#asking.get(userId) ?? 0) > 0;
    const loggedOutAt = this.#loggedOutAt.get(userId) ?? Number.NEGATIVE_INFINITY;
    // OPEN: the node that asked for the end and heard no answer connects its user anew.
    const isUntold = this.#loggedOutBy.get(userId) === caller.node;
    if (
      this.watchesReturns &&
      !isAsked &&
      !isUntold &&
      (this.#shownAt.get(userId) ?? 0) <= loggedOutAt &&
      this.lostMemoryAt < 0
    )
      this.violated(
        `[PR7] user ${userId} is online again ${this.#scheduler.now - loggedOutAt} ms after a logout`,
      );
    for (const { node, at, kind } of this.#proofs.get(userId)?.values() ?? []) {
      const age = this.#scheduler.now - at;
      if (age < TIMEOUT[kind] - 1000 && node.isUp && !this.#isExcused(node, at))
        this.violated(`[PR2] user ${userId} opens a period ${age} ms after life on ${node.name}`);
    }
  }

  claimed(claim: Claim, answer: ClaimAnswer, { node }: { readonly node: string }): void {
    const knocks = answer.kind === 'joined' || answer.kind === 'opened';
    if (knocks && claim.mode !== 'restate') this.#knocks(claim.userId, this.#scheduler.now + claim.untilMs);
    if (knocks && claim.mode === 'socket' && claim.epoch === 0)
      this.#unanswered.set(claim.userId, { epoch: answer.epoch, at: this.#scheduler.now });
    this.#trace(() => {
      const { userId, mode, rev, sockets, socketMs, httpMs, untilMs, epoch } = claim;
      const stated = `sockets ${sockets} for ${socketMs}, http ${httpMs}, until ${untilMs}, epoch ${epoch}`;
      return `Redis: ${node} claims ${mode} of ${userId} rev ${rev} (${stated}): ${Object.values(answer).join(' ')}`;
    });
  }

  ended(duty: Omit<Duty, 'id'>): void {
    const { userId, period, reason, logoutAt } = duty;
    this.#trace(() => `Redis ends ${userId}:${period} for ${reason} at ${logoutAt} of ${duty.node}`);
    this.#ended.add(`${userId}:${period}`);
    const proofs = [...(this.#proofs.get(userId)?.values() ?? [])];
    if (reason !== 'timeout' && reason !== 'node-lost') {
      this.#before = proofs;
      this.#loggedOutAt.set(userId, this.#scheduler.now);
    }
    this.#proofs.delete(userId);
    if (reason !== 'timeout' && reason !== 'node-lost') return;
    const isExcused =
      proofs.some(({ node, at }) => this.#isExcused(node, at)) || this.#wasTakenInVain(userId);
    if (!isExcused) for (const proof of proofs) this.#judgeEarly(duty, proof);
    if (!this.stepped) this.#judgeLogoutTime(duty, proofs);
  }

  endAsked(request: EndRequest, answer: EndAnswer, { node }: { readonly node: string }): void {
    if (answer.kind === 'ended') this.#loggedOutBy.set(request.userId, node);
    // The end itself has been noted before, and has taken what was known of the user.
    if (answer.kind !== 'ended' || request.epoch === 0) return;
    const newest = this.#newestEpoch.get(request.userId) ?? 0;
    if (request.epoch < newest && this.#isLiving(request.userId, newest))
      this.violated(`[PR7] user ${request.userId}: an end of epoch ${request.epoch} ended epoch ${newest}`);
  }

  /** The same duty that a snapshot took back may come again; a settled period never opens again. */
  hasEnded(userId: number, period: number): boolean {
    return this.#ended.has(`${userId}:${period}`);
  }

  /** An HTTP request of the user is under way (+1), or done (-1): nobody knows what it has proved. */
  asks(userId: number, change: 1 | -1): void {
    this.#asking.set(userId, (this.#asking.get(userId) ?? 0) + change);
    this.#knocks(userId, this.#scheduler.now + HTTP_TIMEOUT_MS);
  }

  #knocks(userId: number, until: number): void {
    this.#knocked.set(userId, Math.max(this.#knocked.get(userId) ?? 0, until));
  }

  /**
   * OPEN: a dial whose answer was lost has taken the user over, was refused to its client, and let them go at once.
   * To be dropped once a node lets such a user linger instead.
   */
  #wasTakenInVain(userId: number): boolean {
    const claimed = this.#unanswered.get(userId);
    return claimed !== undefined && this.#scheduler.now - claimed.at < HTTP_TIMEOUT_MS;
  }

  #isLiving(userId: number, epoch: number): boolean {
    return this.#before.some(
      ({ node }) =>
        node.isUp &&
        node.manager.connectionsOf(userId).some(({ registration }) => registration.epoch === epoch),
    );
  }

  #judgeEarly({ userId, period, reason }: Omit<Duty, 'id'>, { node, kind, at }: ProofSeen): void {
    const age = this.#scheduler.now - at;
    const unrecorded = node.isUp ? 0 : kind === 'http' ? RECORDED_WITHIN_MS : 0;
    if (age >= TIMEOUT[kind] - unrecorded - ROUNDING_MS) return;
    this.violated(
      `[HB1] ${userId}:${period} ended (${reason}) ${age} ms after a proof of life (${kind}) on ${node.name}`,
    );
  }

  #judgeLogoutTime(duty: Omit<Duty, 'id'>, proofs: readonly ProofSeen[]): void {
    if (proofs.length === 0) return;
    const { userId, period, reason, loginAt, logoutAt } = duty;
    const { skewMs } = this.#redis();
    const now = wallAt(this.#scheduler.now, skewMs);
    const knocked = this.#knocked.get(userId) ?? 0;
    const latest = wallAt(Math.max(knocked, ...proofs.map(({ at, kind }) => at + TIMEOUT[kind])), skewMs);
    // OPEN: remainders count from the arrival of a call; one that waited long states a proof that much too new.
    const wasSlow = Math.max(this.disturbedUntil, this.slowUntil) > this.#scheduler.now - 2 * HTTP_TIMEOUT_MS;
    const isAsking = (this.#asking.get(userId) ?? 0) > 0;
    if (!wasSlow && !isAsking && logoutAt > Math.max(loginAt, Math.min(now, latest)) + ROUNDING_MS)
      this.violated(
        `[ST5] ${userId}:${period} (${reason}) ends ${logoutAt - latest} ms after its last proof`,
      );
    for (const { node, at, kind } of proofs) {
      if (this.#isExcused(node, at) || this.#scheduler.now - this.lostMemoryAt < 30_000) continue;
      const due = Math.min(now, wallAt(at + TIMEOUT[kind], skewMs));
      // What was recorded may be of a socket, what was not by HTTP, which lasts longer.
      const recorded = RECORDED_WITHIN_MS + TIMEOUT[kind] - HEARTBEAT_TIMEOUT_MS;
      const slack = node.isUp ? 0 : recorded + this.#unrecordable(node, at);
      if (logoutAt < due - slack - ROUNDING_MS)
        this.violated(`[ST5] ${userId}:${period} (${reason}) ends ${due - logoutAt} ms too early`);
    }
  }

  /** Whether what a node heard could not be recorded about then, and for how long at most. */
  #unrecordable(node: SimulatedNode, at: number): number {
    const troubled =
      node.troubledUntil >= at - RECORDED_WITHIN_MS || this.disturbedUntil >= at - RECORDED_WITHIN_MS;
    return troubled ? Number.POSITIVE_INFINITY : 0;
  }

  /** The bounds of the protocol: a node that looked dead, or that was in trouble while Redis lost its memory. */
  #isExcused(node: SimulatedNode, at: number): boolean {
    const recently = node.troubledUntil >= at - RECORDED_WITHIN_MS;
    if (this.slowUntil >= at - RECORDED_WITHIN_MS) return true;
    if (recently && node.troubledUntil - node.troubledFrom >= LOOKS_DEAD_MS) return true;
    const lost = this.lostMemoryAt;
    if (lost < at - 20_000) return false;
    // Killed before it could restore, or frozen or cut off meanwhile.
    // Its line may have been too bad to restore within the 2 s for which logins wait.
    if (this.slowUntil >= lost) return true;
    return !node.isUp || (node.troubledFrom <= lost + 5000 && node.troubledUntil >= lost - 5000);
  }
}
