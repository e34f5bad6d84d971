import type { AdmittedLogin } from '../../src/presence/api.ts';
import { isOnline } from '../../src/presence/rules/record.ts';
import type { Claim, ClaimAnswer, EndAnswer, EndRequest } from '../../src/presence/store/port.ts';
import type { Duty, PeriodRow } from '../../src/protocol/periods.ts';
import { type Scheduler, wallAt } from './scheduler.ts';
import { HEARTBEAT_TIMEOUT_MS, HTTP_TIMEOUT_MS, type Rules, type SimulatedNode } from './simulated-node.ts';
import type { SimulatedRedis } from './simulated-redis.ts';
import { ASKED_WITHIN_MS, MAX_CHARGED_MS, RECORDED_WITHIN_MS, Troubles } from './troubles.ts';
import {
  isHeldBySocket,
  type Kind,
  type Logout,
  type ProofSeen,
  shownClaim,
  type Taken,
  TIMEOUT,
  type ToldPeriod,
  UNRECORDED_HTTP_MS,
} from './witness-facts.ts';
import { Openings } from './witness-openings.ts';

const ROUNDING_MS = 40;
/** A node hears of a take-over with its next renewal. */
const HEARD_WITHIN_MS = 1000;

export interface WitnessOptions {
  readonly scheduler: Scheduler;
  readonly redis: () => SimulatedRedis;
  readonly trace: (text: () => string) => void;
  readonly rowOf: (key: string) => PeriodRow | undefined;
  readonly policy: Rules['policy'];
  readonly nodes: () => readonly SimulatedNode[];
}

/** Knows what the clients know to be true, and holds what happens against it. */
export class Witness extends Troubles {
  readonly violations: string[] = [];
  /** Periods that a node told somebody of. */
  readonly told = new Map<string, ToldPeriod>();
  /**
   * Periods that ended, or that a later one followed, and then were there again: by a rollback, or restated while SQL was
   * silent (bounds `rollback`, `silent-sql`, `followed`).
   */
  readonly broughtBack = new Set<string>();
  /** Periods that a node restated late, for it was cut off, frozen or on a bad line when Redis lost its memory. */
  readonly restoredLate = new Set<string>();
  /** Periods that had ended and were not settled when Redis lost its memory, and with it the duty (bound `lost-duty`). */
  readonly dutiesLost = new Set<string>();
  /** Periods that somebody was told of and that SQL did not have when Redis lost its memory (bound `lost-period`). */
  readonly unwritten = new Set<string>();
  /** Periods that SQL had as ended when Redis last lost its memory: no node restored them then (bound `ended-once`). */
  #unrestored: ReadonlySet<string> = new Set();
  readonly #options: WitnessOptions;
  readonly #proofs = new Map<number, Map<string, ProofSeen>>();
  readonly #newestEpoch = new Map<number, number>();
  readonly #ended = new Set<string>();
  readonly openings: Openings;
  /** The latest logout time of each period that has ended. */
  readonly #due = new Map<string, number>();
  /** What the newest logout put an end to. */
  #before: readonly ProofSeen[] = [];
  /** Latest deadline that somebody's knocking alone could give, for each user: an answer that was lost may have counted. */
  readonly #knocked = new Map<number, number>();
  readonly #asking = new Map<number, number>();
  readonly #askedAt = new Map<number, number>();
  /** Ends under way that name no epoch. */
  readonly #anyEnds = new Map<number, number>();
  readonly #logouts = new Map<number, Logout>();
  /** From whom the user's sockets were taken last. */
  readonly #takenFrom = new Map<number, Map<string, Taken>>();
  /** Periods that ran when Redis last lost its memory. */
  #ranBefore: ReadonlySet<string> = new Set();
  /** When a node last heard of the user in any way. */
  readonly #shownAt = new Map<number, number>();

  constructor(options: WitnessOptions) {
    super(options.scheduler);
    this.#options = options;
    this.openings = new Openings(this);
  }

  violated(text: string): void {
    this.#options.trace(() => `VIOLATION ${text}`);
    this.violations.push(`${Math.round(this.now)} ms: ${text}`);
  }

  accepted(node: SimulatedNode, { userId, epoch, period, loginTime }: AdmittedLogin): void {
    this.#newestEpoch.set(userId, Math.max(this.#newestEpoch.get(userId) ?? 0, epoch));
    this.told.set(`${userId}:${period}`, { userId, period, loginTime });
    this.proved(node, { userId, period, kind: 'socket' });
  }

  /** An HTTP login or heartbeat that arrived at `at` was answered well. */
  loggedIn(node: SimulatedNode, userId: number, at: number): void {
    this.#knocks(userId, this.now + HTTP_TIMEOUT_MS);
    const record = this.#options.redis().world.records.get(userId);
    if (record === undefined || !record.recorded) return;
    const { period, loginTime } = record;
    this.told.set(`${userId}:${period}`, { userId, period, loginTime });
    this.proved(node, { userId, period, kind: 'http', at });
  }

  /** The node heard of the user. What a socket says whose period has ended, and that its node no longer holds, is void. */
  proved(node: SimulatedNode, proof: { userId: number; period: number; kind: Kind; at?: number }): void {
    const { userId, period, kind } = proof;
    this.#shownAt.set(userId, this.now);
    const record = this.#options.redis().world.records.get(userId);
    const hasEnded = this.#ended.has(`${userId}:${period}`);
    const loss = this.#lossOf(userId, node.name);
    // The end of its period is yet to be told, and its node may hold the next one already.
    if (hasEnded && loss !== undefined && record !== undefined && record.period > period) return;
    const hold = record?.holds.get(node.name);
    const held =
      kind === 'socket' ? isHeldBySocket(record, node.name, this.#options.policy) : hold !== undefined;
    // Until the node has stated it again Redis does not have it, but the node goes on by it.
    const isLost = this.now - this.lostMemoryAt < 5000 || this.isLate(node, this.lostMemoryAt);
    // What is said to a node that has yet to hear of a loss is void as well; a take-over leaves proofs by HTTP alone.
    const isVoid = loss !== undefined && (kind === 'socket' || loss !== 'replaced');
    if (!held && (isVoid || !isLost || hasEnded)) return;
    const proofs = this.#proofs.get(userId) ?? new Map<string, ProofSeen>();
    this.#proofs.set(userId, proofs);
    proofs.set(`${node.name} ${kind}`, { node, period, kind, at: proof.at ?? this.now });
  }

  minted(claim: Claim, answer: Extract<ClaimAnswer, { kind: 'opened' | 'joined' }>): void {
    const { userId } = claim;
    const newest = this.#newestEpoch.get(userId) ?? 0;
    // Known only to a node that was away while Redis lost its memory and its clock fell (bound `stepped-number`).
    const isKnown = !this.redisFell || this.lostMemoryAt < 0;
    if (answer.epoch <= newest && isKnown)
      this.violated(`[PR3] user ${userId} got epoch ${answer.epoch} after ${newest}`);
    const key = `${userId}:${answer.period}`;
    if (answer.kind === 'opened') this.openings.note(key, this.now);
    if (answer.kind !== 'opened') return;
    // A failover brought the opening back, and SQL did not say that its period had ended (bound `old-opening`).
    if (this.#ended.has(key) && this.rolledBack && this.openings.mayBeUnasked()) this.broughtBack.add(key);
    if (this.#ended.has(key)) return;
    this.#options.trace(() => `Redis opens ${userId}:${answer.period}`);
    const askedAgo = this.now - (this.#askedAt.get(userId) ?? Number.NEGATIVE_INFINITY);
    const isAsked =
      claim.mode === 'socket'
        ? claim.epoch === 0
        : (this.#asking.get(userId) ?? 0) > 0 ||
          askedAgo < HTTP_TIMEOUT_MS ||
          this.now - this.disturbedUntil < 1000;
    this.#judgeReturn(userId, isAsked);
    for (const { node, at, kind, period } of this.#proofs.get(userId)?.values() ?? []) {
      // A rollback had brought an ended period back, or one was reconciled while the node that had it was on its way
      // back and SQL slow; then a wipe took it: SQL knew that it had ended (bounds `rollback`, `silent-sql`).
      const isSettled = (this.rolledBack || this.sqlFailed) && this.#isSettled(`${userId}:${period}`);
      if (this.#ended.has(`${userId}:${period}`) || isSettled) continue;
      const age = this.now - at;
      if (age < TIMEOUT[kind] - 1000 && node.isUp && !this.isExcused(node, at))
        this.violated(`[PR2] user ${userId} opens a period ${age} ms after life on ${node.name}`);
    }
  }

  claimed(claim: Claim, answer: ClaimAnswer, { node }: { readonly node: string }): void {
    if (claim.mode === 'socket') {
      if (answer.kind === 'joined' || answer.kind === 'opened')
        this.#takenFrom.get(claim.userId)?.delete(node);
      this.#forgetTaken(claim.userId, node);
    }
    if (claim.mode === 'restate' && answer.kind === 'joined')
      this.#restated(`${claim.userId}:${claim.period}`, node);
    const knocks = answer.kind === 'joined' || answer.kind === 'opened';
    if (knocks && claim.mode !== 'restate') this.#knocks(claim.userId, this.now + claim.untilMs);
    this.#options.trace(() => `Redis: ${node} claims ${shownClaim(claim)}: ${JSON.stringify(answer)}`);
  }

  #restated(key: string, name: string): void {
    const { now } = this;
    const isSilent = this.sqlTroubles.touches(now - ASKED_WITHIN_MS, now);
    const isOver = this.#ended.has(key) || (isSilent && this.#isSettled(key));
    if (isOver || this.openings.isFollowed(key, { isSilent, told: this.told.values() }))
      this.broughtBack.add(key);
    // It could not restore in time, and meanwhile a login may have had the period reconciled (bound `early-logout`).
    const node = this.#options.nodes().find((present) => present.name === name);
    if (node !== undefined && this.isLate(node, this.lostMemoryAt)) this.restoredLate.add(key);
  }

  /** Whether SQL has closed the period. */
  #isSettled(key: string): boolean {
    return this.#options.rowOf(key)?.settledAt != null;
  }

  withdrawn(userId: number, { node }: { readonly node: string }): void {
    this.#options.trace(() => `Redis: ${node} withdraws its opening of ${userId}`);
  }

  ended(duty: Omit<Duty, 'id'>): void {
    const { userId, period, reason, logoutAt } = duty;
    this.#options.trace(() => `Redis ends ${userId}:${period} for ${reason} at ${logoutAt} of ${duty.node}`);
    // A rollback had brought an ended period back: SQL has its end, and nothing restores it a second time.
    const wasBroughtBack = this.#ended.has(`${userId}:${period}`);
    this.#ended.add(`${userId}:${period}`);
    this.#due.set(`${userId}:${period}`, Math.max(logoutAt, this.#due.get(`${userId}:${period}`) ?? 0));
    const proofs = [...(this.#proofs.get(userId)?.values() ?? [])];
    if (reason !== 'timeout' && reason !== 'node-lost') {
      this.#before = proofs;
      const isExcused = proofs.some(({ node, at }) => this.isExcused(node, at));
      this.#logouts.set(userId, { at: this.now, isExcused });
    }
    this.#proofs.delete(userId);
    if (reason !== 'timeout' && reason !== 'node-lost') return;
    const isExcused = wasBroughtBack || proofs.some(({ node, at }) => this.isExcused(node, at));
    if (!isExcused) for (const proof of proofs) this.#judgeEarly(duty, proof);
    this.#judgeLogoutTime(duty, proofs);
  }

  endAsked(request: EndRequest, answer: EndAnswer): void {
    if (request.epoch === 0)
      this.violated(`[PR7] user ${request.userId}: a node asks for an end without an epoch`);
    // The end itself has been noted before, and has taken what was known of the user.
    if (answer.kind !== 'ended') return;
    const newest = this.#newestEpoch.get(request.userId) ?? 0;
    // What was accepted while Redis lost its memory is stated to it once it is no longer young (bound `restoring`).
    if (this.isRestoring(this.now)) return;
    // Nor is what was heard in a period that SQL has as ended (bound `ended-once`).
    if (this.#unrestored.has(`${request.userId}:${answer.end.period}`)) return;
    // It names the newest epoch that Redis knew, and ends that period all the same.
    const isOfPeriod = this.#before.every(({ period }) => period === answer.end.period);
    if (isOfPeriod && (this.#anyEnds.get(request.userId) ?? 0) > 0) return;
    if (request.epoch < newest && this.#isLiving(request.userId, newest))
      this.violated(`[PR7] user ${request.userId}: an end of epoch ${request.epoch} ended epoch ${newest}`);
  }

  /** Redis is about to lose everything, or what is newer than a snapshot. */
  forgot(): void {
    const { now } = this;
    this.lostMemoryAt = now;
    this.disturbedUntil = Math.max(this.disturbedUntil, now + 4000);
    this.redisTroubles.add(now, now + 4000);
    this.#ranBefore = this.#running();
    for (const [userId, proofs] of this.#proofs)
      for (const proof of proofs.values())
        proof.isLetGo ||=
          this.#options.redis().world.records.get(userId)?.holds.has(proof.node.name) !== true;
    for (const key of this.told.keys()) if (this.#options.rowOf(key) === undefined) this.unwritten.add(key);
    this.#unrestored = new Set([...this.told.keys()].filter((key) => this.#isSettled(key)));
    for (const [key, due] of this.#due) {
      const row = this.#options.rowOf(key);
      if (row?.settledAt == null || (row.logoutAt ?? 0) < due) this.dutiesLost.add(key);
    }
  }

  /** Redis has the contents of a snapshot from now on. */
  wentBack(): void {
    for (const key of this.#running()) if (!this.#ranBefore.has(key)) this.broughtBack.add(key);
  }

  #running(): ReadonlySet<string> {
    const online = [...this.#options.redis().world.records.values()].filter(isOnline);
    return new Set(online.map(({ userId, period }) => `${userId}:${period}`));
  }

  /** The same duty that a snapshot took back may come again; a settled period never opens again. */
  hasEnded(userId: number, period: number): boolean {
    return this.#ended.has(`${userId}:${period}`);
  }

  /** An HTTP request of the user is under way (+1), or done (-1): nobody knows what it has proved. */
  asks(userId: number, change: 1 | -1): void {
    this.#asking.set(userId, (this.#asking.get(userId) ?? 0) + change);
    // It may do its work after its client was told that nobody knows.
    this.#askedAt.set(userId, this.now);
    this.#knocks(userId, this.now + HTTP_TIMEOUT_MS);
  }

  /** A logout or kick that names no epoch is under way (+1), or done (-1): it ends whatever runs (rule PR7). */
  asksForAnyEnd(userId: number, change: 1 | -1): void {
    this.#anyEnds.set(userId, (this.#anyEnds.get(userId) ?? 0) + change);
  }

  /** A dial was refused: where no answer came from the store, the user lingers by having dialled. */
  turnedAway(userId: number): void {
    this.#knocks(userId, this.now + HEARTBEAT_TIMEOUT_MS);
  }

  /** What sockets proved that were taken over counts no more: the newer connection's node answers for the user. */
  #forgetTaken(userId: number, by: string): void {
    const proofs = this.#proofs.get(userId);
    const taken = this.#takenFrom.get(userId) ?? new Map<string, Taken>();
    for (const [name, losses] of this.#options.redis().world.losses) {
      if (name === by || losses.get(userId)?.reason !== 'replaced') continue;
      const key = `${name} socket`;
      taken.set(name, { name, proof: proofs?.get(key), at: this.now });
      this.#takenFrom.set(userId, taken);
      proofs?.delete(key);
    }
  }

  /** Why the node lost the user, which it has yet to hear. */
  #lossOf(userId: number, node: string): string | undefined {
    return this.#options.redis().world.losses.get(node)?.get(userId)?.reason;
  }

  /**
   * What was taken and Redis then forgot: its node had not heard of it and states it again, and may take the linger of
   * the newer socket with it (bound `rollback`).
   */
  #mayComeBack(userId: number, by: SimulatedNode): boolean {
    for (const { name, proof, at } of this.#takenFrom.get(userId)?.values() ?? []) {
      if (this.lostMemoryAt < at) continue;
      if (name === by.name || (proof !== undefined && this.isExcused(proof.node, at))) return true;
      const forgotAtOnce = this.lostMemoryAt - at < HEARD_WITHIN_MS;
      if (forgotAtOnce && this.now - this.lostMemoryAt < HTTP_TIMEOUT_MS) return true;
    }
    return false;
  }

  #knocks(userId: number, until: number): void {
    this.#knocked.set(userId, Math.max(this.#knocked.get(userId) ?? 0, until));
  }

  #isLiving(userId: number, epoch: number): boolean {
    return this.#before.some(
      ({ node }) =>
        node.isUp &&
        !this.isExcused(node, this.now) &&
        node.manager.connectionsOf(userId).some(({ registration }) => registration.epoch === epoch),
    );
  }

  /** Nobody asked for it, and nothing was heard of the user since a logout. */
  #judgeReturn(userId: number, isAsked: boolean): void {
    const { at, isExcused } = this.#logouts.get(userId) ?? { at: Number.NEGATIVE_INFINITY, isExcused: false };
    // A node that looked dead has the user's sockets and proofs, of which nobody knew when they logged out elsewhere.
    // What Redis forgot of it, nobody knows (bounds `lost-duty`, `rollback`, `restoring`).
    const isForgotten =
      this.isRestoring(at) || (this.lostMemoryAt >= at && this.now < this.returnedAt + HTTP_TIMEOUT_MS);
    if (isAsked || isExcused || (this.#shownAt.get(userId) ?? 0) > at || isForgotten) return;
    this.violated(`[PR7] user ${userId} is online again ${this.now - at} ms after a logout`);
  }

  #judgeEarly({ userId, period, reason }: Omit<Duty, 'id'>, { node, kind, at }: ProofSeen): void {
    const age = this.now - at;
    if (kind === 'socket' && this.#mayComeBack(userId, node)) return;
    // Answered by what a node knew while Redis could tell it nothing (bound `unheard-logout`).
    if (kind === 'http' && this.disturbedUntil >= at) return;
    const untold = node.isUp ? 0 : this.unrecordable(node, at);
    // A dead node's silence is Redis's to measure, whose clock takes each step since the recorded proof for 2 s at most
    // (bound `charged`).
    const isByRedis = reason === 'node-lost' || !node.isUp;
    const steps = isByRedis ? this.redisSteps.countWithin(at - untold, this.now) : 0;
    const charged = MAX_CHARGED_MS * steps;
    const ofHttp = !node.isUp && kind === 'http' ? UNRECORDED_HTTP_MS : 0;
    const unrecorded = charged + ofHttp + untold;
    if (age >= TIMEOUT[kind] - unrecorded - ROUNDING_MS) return;
    this.violated(
      `[HB1] ${userId}:${period} ended (${reason}) ${age} ms after a proof of life (${kind}) on ${node.name}`,
    );
  }

  #judgeLogoutTime(duty: Omit<Duty, 'id'>, proofs: readonly ProofSeen[]): void {
    if (proofs.length === 0) return;
    // A step since then has changed what a moment is called (bound `wall-clock`). Of a dead node an older proof may be the
    // recorded one (bound `recorded-proof`).
    const recordedAt = ({ node, at }: ProofSeen): number =>
      node.isUp ? at : at - RECORDED_WITHIN_MS - this.unrecordable(node, at);
    const oldest = Math.min(...proofs.map(recordedAt));
    if (this.redisSteps.touches(oldest, this.now)) return;
    const { userId, period, reason, loginAt, logoutAt } = duty;
    const { skewMs } = this.#options.redis();
    const now = wallAt(this.now, skewMs);
    const knocked = this.#knocked.get(userId) ?? 0;
    const proven = wallAt(Math.max(knocked, ...proofs.map(({ at, kind }) => at + TIMEOUT[kind])), skewMs);
    // A deadline from before a step back is not reached: the end counts from when it is found (bound `wall-clock`).
    const latest = this.openings.hasSteppedSince(`${userId}:${period}`) ? now : proven;
    // Whatever was told of the newest proof may have been long on its way, and a dead node cannot tell it again (bound
    // `late-statement`).
    const newest = Math.max(...proofs.map(({ at }) => at));
    const ofDead = proofs.filter(({ node }) => node.diedAt !== undefined).map(({ at }) => at);
    const lastWord = Math.min(this.now, ...proofs.map(({ node }) => node.diedAt ?? Number.POSITIVE_INFINITY));
    const since = reason === 'node-lost' ? lastWord - 2 * HTTP_TIMEOUT_MS : Math.min(newest, ...ofDead);
    const wasSlow = Math.max(this.disturbedUntil, this.slowUntil) > since;
    const isAsking = (this.#asking.get(userId) ?? 0) > 0;
    if (!wasSlow && !isAsking && logoutAt > Math.max(loginAt, Math.min(now, latest)) + ROUNDING_MS)
      this.violated(
        `[ST5] ${userId}:${period} (${reason}) ends ${logoutAt - latest} ms after its last proof`,
      );
    for (const { node, at, kind, isLetGo, period: heardIn } of proofs) {
      // Redis lost what its node no longer held (bound `let-go`).
      if (isLetGo === true) continue;
      // A socket that was taken over plays on where Redis has forgotten it (bound `restoring`).
      if (this.isExcused(node, at) || this.isRestoring(at)) continue;
      if (at < this.lostMemoryAt && this.#unrestored.has(`${userId}:${heardIn}`)) continue;
      // A proof that had still to be recorded when its node died may be the first one for long (bound `recorded-proof`).
      if (node.diedAt !== undefined && at > this.recordableUntil(node, node.diedAt) - RECORDED_WITHIN_MS)
        continue;
      const due = Math.min(now, wallAt(at + TIMEOUT[kind], skewMs));
      // What was recorded may be of a socket, what was not by HTTP, which lasts longer.
      const recorded = RECORDED_WITHIN_MS + TIMEOUT[kind] - HEARTBEAT_TIMEOUT_MS;
      const slack = node.isUp ? 0 : recorded + this.unrecordable(node, at);
      if (logoutAt < due - slack - ROUNDING_MS)
        this.violated(`[ST5] ${userId}:${period} (${reason}) ends ${due - logoutAt} ms too early`);
    }
  }
}
