import type { Scheduler } from './scheduler.ts';
import type { SimulatedNode } from './simulated-node.ts';
import { Spells, troubledSince } from './spells.ts';

/** A node without a sign of life for about as long looks dead (bound `looks-dead`). */
const LOOKS_DEAD_MS = 9000;
/** A proof is recorded within this time where nothing hinders it. */
export const RECORDED_WITHIN_MS = 5000;
/** Nodes repeat their claims within this time of the return of Redis. */
export const REPEATED_WITHIN_MS = 2000;
/** A restore waits for SQL for 500 ms, and has its statements on their way. */
export const ASKED_WITHIN_MS = 1500;
export const MAX_CHARGED_MS = 2000;
/** A pause between two troubles in which a node may not come to record anything. */
const RECOVERY_MS = 5000;

/** What has befallen the deployment, and what a node is excused for by it. */
export class Troubles {
  /** Moment of the newest wipe or rollback. */
  lostMemoryAt = Number.NEGATIVE_INFINITY;
  /** Redis last could not be reached, or lost something. */
  disturbedUntil = Number.NEGATIVE_INFINITY;
  /** A wall clock was stepped: times of different moments no longer compare (bound `wall-clock`). */
  stepped = false;
  /** When the clock of Redis was stepped. */
  readonly redisSteps = new Spells();
  /** It was stepped back at some time. */
  redisFell = false;
  /** When a node died or stopped last; what it alone held nobody restores. */
  diedAt = Number.NEGATIVE_INFINITY;
  rolledBack = false;
  /** SQL was away, slow, or lost its answers. */
  sqlFailed = false;
  /** When SQL was away, slow, or lost its answers. */
  readonly sqlTroubles = new Spells();
  /** When Redis stood still, was away, or had lost something a moment before. */
  readonly redisTroubles = new Spells();
  /** When Redis stood still or was away. */
  readonly redisAway = new Spells();
  /** Calls of some node were late until then. */
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

  /** Whether nodes have yet to repeat what Redis has lost, at `at` (bound `restoring`). */
  isRestoring(at: number): boolean {
    return at >= this.lostMemoryAt && at < this.returnedAt + REPEATED_WITHIN_MS;
  }

  /** When Redis was there again after it last lost its memory. */
  get returnedAt(): number {
    return this.redisAway.endAfter(this.lostMemoryAt);
  }

  /** Whether the node was hindered when Redis lost its memory, and has 2 s since its own return to repeat its claims. */
  protected isLate(node: SimulatedNode, lost: number): boolean {
    const { now } = this.scheduler;
    const isHindered = node.troubles.touches(lost, now) || node.badLine.touches(lost, now);
    const returnedAt = Math.max(this.returnedAt, node.troubles.endAfter(lost), node.badLine.endAfter(lost));
    return isHindered && now < returnedAt + REPEATED_WITHIN_MS;
  }

  /** For how long what a node heard at `at` could not be recorded, beyond the 5 s of the bound `recorded-proof`. */
  protected unrecordable(node: SimulatedNode, at: number): number {
    const kinds = [node.troubles, node.badLine, this.redisTroubles];
    // What came just before the trouble could not be recorded either.
    const moments = [at, at + RECORDED_WITHIN_MS];
    return Math.max(0, ...moments.map((moment) => at - troubledSince(moment, RECOVERY_MS, ...kinds)));
  }

  /** When the node could last record anything before `at`. */
  protected recordableUntil(node: SimulatedNode, at: number): number {
    return troubledSince(at, REPEATED_WITHIN_MS, node.troubles, node.badLine, this.redisTroubles);
  }

  /** Redis has not heard of the node for as long as makes it look dead, or has just heard of it again. */
  #lookedDead(node: SimulatedNode, at: number): boolean {
    const since = troubledSince(at, RECOVERY_MS, node.troubles, this.redisTroubles);
    const alone = node.troubles.msWithin(since, at);
    // What no node could be heard in is charged to nobody, but for 2 s each time, and so is each step of the clock of Redis
    // (bound `charged`).
    const times = this.redisTroubles.countWithin(since, at) + this.redisSteps.countWithin(since, at);
    const charged = MAX_CHARGED_MS * times;
    return alone > 0 && alone + charged >= LOOKS_DEAD_MS;
  }

  /** A node that looked dead, or that was in trouble while Redis lost its memory (bounds `looks-dead`, `early-logout`). */
  protected isExcused(node: SimulatedNode, at: number): boolean {
    if (node.badLine.touches(at - RECORDED_WITHIN_MS, this.scheduler.now)) return true;
    if (this.#lookedDead(node, at) || this.#lookedDead(node, this.scheduler.now)) return true;
    const lost = this.lostMemoryAt;
    if (lost < at - 20_000) return false;
    // Killed before it could restore, or frozen or cut off meanwhile.
    // Its line may have been too bad to restore within the 2 s for which logins wait.
    if (node.badLine.touches(lost, this.scheduler.now)) return true;
    // While Redis is away nobody can restore anything.
    const restorable = Math.max(lost, this.redisTroubles.endAfter(lost)) + 5000;
    return !node.accepts || node.troubles.touches(lost - 5000, restorable);
  }
}
