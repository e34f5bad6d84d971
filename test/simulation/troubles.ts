import type { Scheduler } from './scheduler.ts';
import { HEARTBEAT_TIMEOUT_MS, type SimulatedNode } from './simulated-node.ts';
import { Spells, troubledSince } from './spells.ts';

/** A node without a sign of life for about this long looks dead (bound `looks-dead`). */
const LOOKS_DEAD_MS = 9000;
/** A node is dead once Redis has observed this long a silence: the heartbeat timeout and 1 s. */
const BURIED_AFTER_MS = HEARTBEAT_TIMEOUT_MS + 1000;
/** Without trouble, a proof is recorded within this time. */
export const RECORDED_WITHIN_MS = 5000;
/** Nodes repeat their claims within this time after the return of Redis. */
export const REPEATED_WITHIN_MS = 2000;
/** A restore waits 500 ms for SQL, and its claims take some time too. */
export const ASKED_WITHIN_MS = 1500;
export const MAX_CHARGED_MS = 2000;
/** Each node gives Redis a sign of life within this time. */
const RENEWED_WITHIN_MS = 600;
/** During a pause this short between two troubles, a node may not record anything. */
const RECOVERY_MS = 5000;

/** The faults that happened to the deployment, and the excuses that they give to a node. */
export class Troubles {
  /** The time of the newest wipe or rollback. */
  lostMemoryAt = Number.NEGATIVE_INFINITY;
  /** The last time at which Redis was unreachable or had just lost data. */
  disturbedUntil = Number.NEGATIVE_INFINITY;
  /** A wall clock was stepped. Times from before and after the step can no longer be compared (bound `wall-clock`). */
  stepped = false;
  /** When the clock of Redis was stepped. */
  readonly redisSteps = new Spells();
  /** The clock of Redis was stepped back at some time. */
  redisFell = false;
  /** When a node last died or stopped. Nobody restores what only this node held. */
  diedAt = Number.NEGATIVE_INFINITY;
  rolledBack = false;
  /** SQL was down, slow, or lost its answers at some time. */
  sqlFailed = false;
  /** When SQL was down, slow, or lost its answers. */
  readonly sqlTroubles = new Spells();
  /** When Redis was stalled or down, or had just lost data. */
  readonly redisTroubles = new Spells();
  /** When Redis was stalled or down. */
  readonly redisAway = new Spells();
  /** Until this time, calls of some node were late. */
  slowUntil = Number.NEGATIVE_INFINITY;
  protected readonly scheduler: Scheduler;

  constructor(scheduler: Scheduler) {
    this.scheduler = scheduler;
  }

  get now(): number {
    return this.scheduler.now;
  }

  get nodeDied(): boolean {
    return this.diedAt > Number.NEGATIVE_INFINITY;
  }

  redisStepped(ms: number): void {
    this.stepped = true;
    this.redisFell ||= ms < 0;
    this.redisSteps.add(this.scheduler.now, this.scheduler.now);
  }

  /** Whether nodes may not have repeated their claims yet, at `at` (bound `restoring`). */
  isRestoring(at: number): boolean {
    return at >= this.lostMemoryAt && at < this.returnedAt + REPEATED_WITHIN_MS;
  }

  /** When Redis returned after it last lost its data. */
  get returnedAt(): number {
    return this.redisAway.endAfter(this.lostMemoryAt);
  }

  /**
   * Whether the node was in trouble since Redis lost its data, and still has time to repeat its claims: 2 s after its own return.
   */
  protected isLate(node: SimulatedNode, lost: number): boolean {
    const { now } = this.scheduler;
    const isHindered = node.troubles.touches(lost, now) || node.badLine.touches(lost, now);
    const returnedAt = Math.max(
      this.returnedAt,
      this.#endAfterLoss(node.troubles),
      node.badLine.endAfter(lost),
    );
    return isHindered && now < returnedAt + REPEATED_WITHIN_MS;
  }

  /** The end of a trouble that covers the loss of data, or that began before the node's time to repeat its claims was over. */
  #endAfterLoss(spells: Spells): number {
    const repeated = this.returnedAt + REPEATED_WITHIN_MS;
    const end = spells.endAfter(repeated);
    return end > repeated ? end : spells.endAfter(this.lostMemoryAt);
  }

  /** How long a proof of `at` could not be recorded, beyond the 5 s of the bound `recorded-proof`. */
  protected unrecordable(node: SimulatedNode, at: number): number {
    const kinds = [node.troubles, node.badLine, this.redisTroubles];
    // A proof just before the trouble could not be recorded either.
    const moments = [at, at + RECORDED_WITHIN_MS];
    return Math.max(0, ...moments.map((moment) => at - troubledSince(moment, RECOVERY_MS, ...kinds)));
  }

  /**
   * The start of the time in which Redis may have heard neither from the node nor of its proof of `at`. It lies before that proof
   * only if the node died, or got into trouble before its next renewal and is still in it.
   */
  protected silentFrom(node: SimulatedNode, at: number): number {
    const troubled = troubledSince(this.scheduler.now, 0, node.troubles);
    if (node.isUp && troubled > at + RENEWED_WITHIN_MS) return at;
    return at - Math.max(RENEWED_WITHIN_MS, this.unrecordable(node, at));
  }

  /** When the node could last record anything before `at`. */
  #recordableUntil(node: SimulatedNode, at: number): number {
    return troubledSince(at, REPEATED_WITHIN_MS, node.troubles, node.badLine, this.redisTroubles);
  }

  /** Redis has not heard from the node for so long that it looks dead, or has just heard from it again. */
  protected lookedDead(node: SimulatedNode, at: number): boolean {
    const since = troubledSince(at, RECOVERY_MS, node.troubles, this.redisTroubles);
    const alone = node.troubles.msWithin(since, at);
    // Time in which no node could reach Redis is charged with at most 2 s each time. So is each step of Redis's clock (bound
    // `charged`).
    const times = this.redisTroubles.countWithin(since, at) + this.redisSteps.countWithin(since, at);
    const charged = MAX_CHARGED_MS * times;
    if (alone > 0 && alone + charged >= LOOKS_DEAD_MS) return true;
    // So is a step after the last sign of life of the node, just before its trouble (bound `charged`).
    const earlier = MAX_CHARGED_MS * this.redisSteps.countWithin(since - RENEWED_WITHIN_MS, since);
    return alone > 0 && earlier > 0 && RENEWED_WITHIN_MS + alone + charged + earlier >= BURIED_AFTER_MS;
  }

  /**
   * The node looked dead after its proof of `at`, and may not have recorded it before (bounds `looks-dead`, `recorded-proof`). It
   * may be back since then. It connects its users anew as they show life, and the older proof stays lost.
   */
  protected isForgotten(node: SimulatedNode, at: number): boolean {
    return node.troubles
      .endsWithin(at, this.scheduler.now)
      .some((end) => this.lookedDead(node, end) && this.#isUnrecorded(node, { at, diedAt: end }));
  }

  /** The node died or looked dead before it recorded its proof of `at` (bound `recorded-proof`). */
  protected isLost(node: SimulatedNode, at: number): boolean {
    const { diedAt } = node;
    return (diedAt !== undefined && this.#isUnrecorded(node, { at, diedAt })) || this.isForgotten(node, at);
  }

  #isUnrecorded(node: SimulatedNode, { at, diedAt }: { readonly at: number; readonly diedAt: number }) {
    return at > this.#recordableUntil(node, diedAt) - RECORDED_WITHIN_MS;
  }

  /** The node looked dead, or was in trouble while Redis lost its data (bounds `looks-dead`, `early-logout`). */
  protected isExcused(node: SimulatedNode, at: number): boolean {
    if (node.badLine.touches(at - RECORDED_WITHIN_MS, this.scheduler.now)) return true;
    if (this.lookedDead(node, at) || this.lookedDead(node, this.scheduler.now)) return true;
    const lost = this.lostMemoryAt;
    if (lost < at - 20_000) return false;
    // On a bad line a node may not restore within the 2 s for which logins wait.
    if (node.badLine.touches(lost, this.scheduler.now)) return true;
    // While Redis is down no node can restore anything.
    const restorable = Math.max(lost, this.redisTroubles.endAfter(lost)) + 5000;
    // The node was killed, frozen or cut off before it could restore.
    return !node.accepts || node.troubles.touches(lost - 5000, restorable);
  }
}
