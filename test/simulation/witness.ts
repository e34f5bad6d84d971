import type { AdmittedLogin } from '../../src/presence/api.ts';
import type { Claim, ClaimAnswer, EndAnswer, EndRequest } from '../../src/presence/store/port.ts';
import type { Duty, PeriodKey } from '../../src/protocol/periods.ts';
import { wallAt } from './scheduler.ts';
import { HEARTBEAT_TIMEOUT_MS, HTTP_TIMEOUT_MS, type SimulatedNode } from './simulated-node.ts';
import { ASKED_WITHIN_MS, MAX_CHARGED_MS, RECORDED_WITHIN_MS, Troubles } from './troubles.ts';
import {
  isHeldBy,
  type Kind,
  type Logout,
  type ProofSeen,
  runningIn,
  runsWithout,
  shownClaim,
  type Taken,
  TIMEOUT,
  type ToldPeriod,
  UNRECORDED_HTTP_MS,
  type WitnessOptions,
} from './witness-facts.ts';
import { Openings } from './witness-openings.ts';
import { TreatedAsPast } from './witness-treated-as-past.ts';

const ROUNDING_MS = 40;
/** A node learns of a take-over with its next renewal. */
const HEARD_WITHIN_MS = 1000;

/** Knows what the clients know, and checks everything that happens against it. */
export class Witness extends Troubles {
  readonly violations: string[] = [];
  /** Periods that a node announced to a client. */
  readonly told = new Map<string, ToldPeriod>();
  /**
   * Periods that ended, or that a later one followed, and that came back: by a rollback, or by a restore while SQL was silent
   * (bounds `rollback`, `silent-sql`, `followed`).
   */
  readonly broughtBack = new Set<string>();
  /** When a node restored a period late, because it was cut off, frozen or on a bad line when Redis lost its data. */
  readonly restoredLate = new Map<string, number>();
  /** Periods that had ended without a settlement when Redis lost its data, and the duty with it (bound `lost-duty`). */
  readonly dutiesLost = new Set<string>();
  /** Periods that a client knew and SQL did not have when Redis lost its data (bound `lost-period`). */
  readonly unwritten = new Set<string>();
  /** Periods that were ended in SQL when Redis last lost its data. No node restored them (bound `ended-once`). */
  #unrestored: ReadonlySet<string> = new Set();
  readonly #options: WitnessOptions;
  readonly #proofs = new Map<number, Map<string, ProofSeen>>();
  readonly #newestEpoch = new Map<number, number>();
  readonly #ended = new Set<string>();
  readonly openings = new Openings(this);
  readonly #treatedAsPast = new TreatedAsPast(this.openings);
  /** The latest logout time of each ended period. */
  readonly #due = new Map<string, number>();
  /** The proofs of the user at the newest logout. */
  #before: readonly ProofSeen[] = [];
  /**
   * For each user, the latest deadline that login attempts, or proofs on nodes that looked dead, could give. An attempt may have
   * counted although its answer was lost.
   */
  readonly #knocked = new Map<number, number>();
  readonly #asking = new Map<number, number>();
  readonly #askedAt = new Map<number, number>();
  /** For each user, the number of ends in progress that name no epoch. */
  readonly #anyEnds = new Map<number, number>();
  readonly #logouts = new Map<number, Logout>();
  /** For each user, the nodes whose sockets another node took over last. */
  readonly #takenFrom = new Map<number, Map<string, Taken>>();
  /** The periods that ran when Redis last lost its data. */
  #ranBefore: ReadonlySet<string> = new Set();
  /** When a node last received anything from the user. */
  readonly #shownAt = new Map<number, number>();

  constructor(options: WitnessOptions) {
    super(options.scheduler);
    this.#options = options;
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

  /** A login or heartbeat by HTTP that arrived at `at` got a good answer. */
  loggedIn(node: SimulatedNode, userId: number, at: number): void {
    this.#knocks(userId, this.now + HTTP_TIMEOUT_MS);
    const record = this.#options.redis().world.records.get(userId);
    if (record === undefined || !record.recorded) return;
    const { period, loginTime } = record;
    this.told.set(`${userId}:${period}`, { userId, period, loginTime });
    this.proved(node, { userId, period, kind: 'http', at });
  }

  /**
   * The node received a proof from the user. A proof from a socket is void if its period has ended and its node no longer holds it.
   */
  proved(node: SimulatedNode, proof: { userId: number; period: number; kind: Kind; at?: number }): void {
    const { userId, period, kind } = proof;
    const { policy, redis } = this.#options;
    this.#shownAt.set(userId, this.now);
    const record = redis().world.records.get(userId);
    const hasEnded = this.#ended.has(`${userId}:${period}`);
    const loss = this.#lossOf(userId, node.name);
    // The node has not learned yet that this period has ended, and may already hold the next one.
    if (hasEnded && loss !== undefined && record !== undefined && record.period > period) return;
    const held = isHeldBy(record, { node: node.name, kind, policy });
    // Redis does not have the hold until the node claims it again, but the node keeps using it.
    const isLost = this.now - this.lostMemoryAt < 5000 || this.isLate(node, this.lostMemoryAt);
    // A proof is void too if the node has not learned of its loss yet. A take-over voids no proofs by HTTP.
    const isVoid = loss !== undefined && (kind === 'socket' || loss !== 'replaced');
    // If the period still runs elsewhere, a node that looked dead claims it again with this proof (bound `looks-dead`).
    const runsOn = !isVoid && !hasEnded && runsWithout(record, { node: node.name, period, policy });
    if (runsOn && this.lookedDead(node, this.now)) this.#knocks(userId, this.now + TIMEOUT[kind]);
    if (!held && (isVoid || !isLost || hasEnded)) return;
    const proofs = this.#proofs.get(userId) ?? new Map<string, ProofSeen>();
    this.#proofs.set(userId, proofs);
    proofs.set(`${node.name} ${kind}`, { node, period, kind, at: proof.at ?? this.now });
  }

  minted(claim: Claim, answer: Extract<ClaimAnswer, { kind: 'opened' | 'joined' }>): void {
    const { userId } = claim;
    const newest = this.#newestEpoch.get(userId) ?? 0;
    // Only a node knew this epoch. It was away while Redis lost its data and its clock stepped back (bound `stepped-number`).
    const isKnown = !this.redisFell || this.lostMemoryAt < 0;
    if (answer.epoch <= newest && isKnown)
      this.violated(`[PR3] user ${userId} got epoch ${answer.epoch} after ${newest}`);
    const key = `${userId}:${answer.period}`;
    if (answer.kind !== 'opened') return;
    this.openings.note(key, this.now, answer.loginTime);
    this.continued({ userId, period: answer.period });
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
      // A rollback had brought an ended period back, or a period was reconciled while its node was coming back and SQL was slow.
      // Then a wipe removed it, and SQL knew its end (bounds `rollback`, `silent-sql`).
      const isSettled = (this.rolledBack || this.sqlFailed) && this.#isSettled(`${userId}:${period}`);
      if (this.#ended.has(`${userId}:${period}`) || isSettled) continue;
      if (this.#treatedAsPast.isLost(node.name, `${userId}:${period}`)) continue;
      const age = this.now - at;
      if (age < TIMEOUT[kind] - 1000 && node.isUp && !this.isExcused(node, at))
        this.violated(`[PR2] user ${userId} opens a period ${age} ms after life on ${node.name}`);
    }
  }

  continued({ userId, period }: PeriodKey): void {
    const key = `${userId}:${period}`;
    const known = { hasEnded: this.#ended.has(key), told: this.told.values() };
    if (this.openings.comesBack(key, known)) this.broughtBack.add(key);
  }

  claimed(claim: Claim, answer: ClaimAnswer, { node }: { readonly node: string }): void {
    const isAccepted = answer.kind === 'joined' || answer.kind === 'opened';
    if (claim.mode === 'socket') {
      if (isAccepted) this.#takenFrom.get(claim.userId)?.delete(node);
      this.#forgetTaken(claim.userId, node);
    }
    if (claim.mode === 'restate' && answer.kind === 'joined')
      this.#restated(`${claim.userId}:${claim.period}`, node);
    this.#treatedAsPast.claimed(claim, answer, { node, redis: this.#options.redis() });
    if (isAccepted && claim.mode !== 'restate') this.#knocks(claim.userId, this.now + claim.untilMs);
    this.#options.trace(() => `Redis: ${node} claims ${shownClaim(claim)}: ${JSON.stringify(answer)}`);
  }

  #restated(key: string, name: string): void {
    const { now } = this;
    const isSilent = this.sqlTroubles.touches(now - ASKED_WITHIN_MS, now);
    const isOver = this.#ended.has(key) || (isSilent && this.#isSettled(key));
    if (isOver || this.openings.isFollowed(key, { isSilent, told: this.told.values() }))
      this.broughtBack.add(key);
    // The node could not restore in time. A login may have had the period reconciled before that (bound `early-logout`).
    const node = this.#options.nodes().find((present) => present.name === name);
    if (node !== undefined && this.isLate(node, this.lostMemoryAt)) this.restoredLate.set(key, now);
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
    // A rollback had brought an ended period back. SQL has its end, so no node restores it again.
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
    // `ended` has recorded this end already, and removed the proofs of the user.
    if (answer.kind !== 'ended') return;
    const newest = this.#newestEpoch.get(request.userId) ?? 0;
    // While Redis lost its data, nodes could accept proofs. They claim them only when Redis is no longer young (bound `restoring`).
    if (this.isRestoring(this.now)) return;
    // Proofs in a period that SQL knows as ended do not count either (bound `ended-once`).
    if (this.#unrestored.has(`${request.userId}:${answer.end.period}`)) return;
    // The request named the newest epoch that Redis knew, and still ends that period.
    const isOfPeriod = this.#before.every(({ period }) => period === answer.end.period);
    if (isOfPeriod && (this.#anyEnds.get(request.userId) ?? 0) > 0) return;
    if (request.epoch < newest && this.#isLiving(request.userId, newest))
      this.violated(`[PR7] user ${request.userId}: an end of epoch ${request.epoch} ended epoch ${newest}`);
  }

  /** Redis is about to lose everything, or everything newer than a snapshot. */
  forgot(): void {
    const { now } = this;
    this.lostMemoryAt = now;
    this.disturbedUntil = Math.max(this.disturbedUntil, now + 4000);
    this.redisTroubles.add(now, now + 4000);
    this.#treatedAsPast.forgot();
    this.#ranBefore = runningIn(this.#options.redis);
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

  /** From now on Redis has the contents of a snapshot. */
  wentBack(): void {
    this.#treatedAsPast.wentBack();
    for (const key of runningIn(this.#options.redis))
      if (!this.#ranBefore.has(key)) this.broughtBack.add(key);
  }

  /** A rollback may repeat a duty. A settled period never opens again. */
  hasEnded(userId: number, period: number): boolean {
    return this.#ended.has(`${userId}:${period}`);
  }

  /** An HTTP request of the user began (+1) or finished (-1). While it runs, its effect is unknown. */
  asks(userId: number, change: 1 | -1): void {
    this.#asking.set(userId, (this.#asking.get(userId) ?? 0) + change);
    // It may take effect even after its client got no answer.
    this.#askedAt.set(userId, this.now);
    this.#knocks(userId, this.now + HTTP_TIMEOUT_MS);
  }

  /** A logout or kick without an epoch began (+1) or finished (-1). It ends whatever period runs (rule PR7). */
  asksForAnyEnd(userId: number, change: 1 | -1): void {
    this.#anyEnds.set(userId, (this.#anyEnds.get(userId) ?? 0) + change);
  }

  /** A connection was refused. If the store did not answer, the attempt itself makes the user linger. */
  turnedAway(userId: number): void {
    this.#knocks(userId, this.now + HEARTBEAT_TIMEOUT_MS);
  }

  /** Proofs of sockets that were taken over no longer count. The node of the newer connection is responsible for the user. */
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

  /** Why the node lost the user. Undefined if it has learned of the loss, or lost nothing. */
  #lossOf(userId: number, node: string): string | undefined {
    return this.#options.redis().world.losses.get(node)?.get(userId)?.reason;
  }

  /**
   * Redis forgot a take-over before the losing node learned of it. That node claims the user again, and this may remove the linger
   * of the newer socket (bound `rollback`).
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

  /** Nobody asked for this login, and no proof of the user came since a logout. */
  #judgeReturn(userId: number, isAsked: boolean): void {
    const { at, isExcused } = this.#logouts.get(userId) ?? { at: Number.NEGATIVE_INFINITY, isExcused: false };
    // A node that looked dead may have sockets and proofs of the user that no other node knew at the logout. Redis may also have
    // forgotten the logout (bounds `lost-duty`, `rollback`, `restoring`).
    const isForgotten =
      this.isRestoring(at) || (this.lostMemoryAt >= at && this.now < this.returnedAt + HTTP_TIMEOUT_MS);
    if (isAsked || isExcused || (this.#shownAt.get(userId) ?? 0) > at || isForgotten) return;
    this.violated(`[PR7] user ${userId} is online again ${this.now - at} ms after a logout`);
  }

  #judgeEarly({ userId, period, reason }: Omit<Duty, 'id'>, { node, kind, at }: ProofSeen): void {
    const age = this.now - at;
    if (this.isForgotten(node, at)) return;
    if (kind === 'socket' && this.#mayComeBack(userId, node)) return;
    // The node answered from what it knew while Redis could report nothing to it (bound `unheard-logout`).
    if (kind === 'http' && this.disturbedUntil >= at) return;
    const ofHttp = kind === 'http' ? UNRECORDED_HTTP_MS : 0;
    const untold = node.isUp ? 0 : this.unrecordable(node, at) + ofHttp;
    // Redis measures the silence of a dead node. Its clock charges each step in that time with at most 2 s (bound `charged`).
    const isByRedis = reason === 'node-lost' || !node.isUp;
    const steps = isByRedis ? this.redisSteps.countWithin(this.silentFrom(node, at), this.now) : 0;
    if (age >= TIMEOUT[kind] - MAX_CHARGED_MS * steps - untold - ROUNDING_MS) return;
    this.violated(
      `[HB1] ${userId}:${period} ended (${reason}) ${age} ms after a proof of life (${kind}) on ${node.name}`,
    );
  }

  #judgeLogoutTime(duty: Omit<Duty, 'id'>, proofs: readonly ProofSeen[]): void {
    if (proofs.length === 0) return;
    // A clock step in between changes the wall-clock time of a moment (bound `wall-clock`). For a dead node, Redis may have
    // recorded an older proof (bound `recorded-proof`).
    const recordedAt = ({ node, at }: ProofSeen): number =>
      node.isUp ? at : at - RECORDED_WITHIN_MS - this.unrecordable(node, at);
    const oldest = Math.min(...proofs.map(recordedAt));
    if (this.redisSteps.touches(oldest, this.now)) return;
    const { userId, period, reason, loginAt, logoutAt } = duty;
    const { skewMs } = this.#options.redis();
    const now = wallAt(this.now, skewMs);
    const knocked = this.#knocked.get(userId) ?? 0;
    const proven = wallAt(Math.max(knocked, ...proofs.map(({ at, kind }) => at + TIMEOUT[kind])), skewMs);
    // After a backward step, a deadline from before the step is in the future. The period then ends when a node finds the deadline
    // (bound `wall-clock`).
    const latest = this.openings.hasSteppedSince(`${userId}:${period}`) ? now : proven;
    // The claim with the newest proof may have been slow, and a dead node cannot repeat it (bound `late-statement`).
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
      // If Redis has forgotten a take-over, the old socket plays on (bound `restoring`).
      if (this.isExcused(node, at) || this.isRestoring(at)) continue;
      if (at < this.lostMemoryAt && this.#unrestored.has(`${userId}:${heardIn}`)) continue;
      // Such a proof may be the first one in a long time (bound `recorded-proof`).
      if (this.isLost(node, at)) continue;
      const due = Math.min(now, wallAt(at + TIMEOUT[kind], skewMs));
      // The recorded proof may be one of a socket, and the unrecorded one by HTTP, which counts longer.
      const recorded = RECORDED_WITHIN_MS + TIMEOUT[kind] - HEARTBEAT_TIMEOUT_MS;
      const slack = node.isUp ? 0 : recorded + this.unrecordable(node, at);
      if (logoutAt < due - slack - ROUNDING_MS)
        this.violated(`[ST5] ${userId}:${period} (${reason}) ends ${due - logoutAt} ms too early`);
    }
  }
}
