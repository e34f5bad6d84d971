import type { Claim } from '../store/port.ts';
import { isHolding, type Moment } from './record.ts';

/** Who calls the store: a node, by the lease of one connection, to the Redis whose run that connection found. */
export interface Caller {
  readonly node: string;
  /** Rises with every connection of the node. */
  readonly lease: string;
  readonly runId: string;
}

/** What is known of a node that takes part. */
export interface Lease {
  /** Empty: the node has yet to renew in this world. */
  readonly lease: string;
  /** Observed time of the newest sign of life. */
  readonly seen: number;
  /** Whether the node has restated in this world all that it holds. */
  readonly restored: boolean;
}

/** What a wipe takes: the clock, and when this data set began. */
export interface World {
  readonly clock: number;
  /** Wall clock at which {@link clock} was kept. */
  readonly reading: number;
  readonly run: string;
  /** Observed time at which the young window began. */
  readonly start: number;
  /** Rises with each new world, whichever Redis it began on. */
  readonly generation: number;
}

export interface Renewal {
  /** The world in which the node has restated everything; `any`: it had nothing to restate. */
  readonly restatedIn: string | undefined;
  /** Generation of the newest world that the node has lived in, 0 where none. */
  readonly lived: number;
  readonly highestEpoch: number;
}

export type Renewed =
  /** The node has renewed on a newer connection. */
  | { readonly kind: 'stale' }
  | { readonly kind: 'renewed'; readonly restore: boolean; readonly world: string };

/** Who died at one look, and when the next one dies unless it is heard of before. */
export interface Deaths {
  readonly died: readonly string[];
  /** Undefined where no node is left that could die. */
  readonly nextDeathMs: number | undefined;
}

/** A node as an operator sees it. */
export interface Sighting {
  readonly node: string;
  /** Age of the newest sign of life; undefined: it lost its lease for good. */
  readonly silentMs: number | undefined;
  /** Undefined where the node renewed no lease in this world. */
  readonly sign: number | undefined;
}

export interface LeaseLimits {
  /** For this long after a world starts, Redis hears only nodes that restore. */
  readonly youngMs: number;
  /** For so much longer no hold ends: who waits to log in comes before the end of the linger behind it. */
  readonly loginsFirstMs: number;
  /** The most that the observed clock moves between two looks. */
  readonly maxChargedMs: number;
  /** A longer time between two looks is no time in which a node could have restored what it holds. */
  readonly stallMs: number;
}

/** For {@link Renewal.restatedIn}. */
export const ANY_WORLD = '*';
// Each node looks each half second. Nodes give a call up after a second.
const LIMITS: LeaseLimits = { youngMs: 2000, loginsFirstMs: 500, maxChargedMs: 2000, stallMs: 1000 };

/**
 * The rules of leases as a pure state: the observed clock, the start of a world, who takes part and who is dead. No I/O,
 * time is an argument. `renew.lua`, `reap.lua` and `prelude.lua` follow it line by line (rules PR8 and PR11).
 */
export class Leases {
  limits: LeaseLimits = LIMITS;
  /** Undefined before the first renewal, and after a wipe until the next one. */
  world: World | undefined;
  readonly nodes = new Map<string, Lease>();
  /** Nodes that lost their lease for good, while anything of theirs is left. */
  readonly dead = new Set<string>();
  /** No new epoch is at or below it (rule PR3). */
  highestEpoch = 0;

  /** What the clock of the store says at a reading of the wall clock; keeps nothing. */
  momentAt(wall: number): Moment {
    if (this.world === undefined) return { wall, observed: wall };
    const { clock, reading } = this.world;
    return { wall, observed: clock + Math.max(0, Math.min(this.limits.maxChargedMs, wall - reading)) };
  }

  /** Names the world: another name after a new start, and after the young window began anew. */
  get name(): string {
    const { run, start, generation } = this.world ?? { run: '', start: 0, generation: 0 };
    return `${run}:${start}:${generation}`;
  }

  /** Gives the caller a lease: nothing else does. A sign of life. */
  renew({ node, lease, runId }: Caller, renewal: Renewal, moment: Moment): Renewed {
    // What an older connection had sent and the store had not read must not bring its lease back.
    if (Number(this.nodes.get(node)?.lease ?? 0) > Number(lease)) return { kind: 'stale' };
    const { world } = this;
    if (world === undefined || world.run !== runId || world.generation < renewal.lived)
      this.#begin(runId, renewal.lived, moment);
    else this.#keepClock(world, moment);
    this.raiseEpoch(renewal.highestEpoch);
    const credited = renewal.restatedIn === ANY_WORLD || renewal.restatedIn === this.name;
    const restored = credited || this.nodes.get(node)?.restored === true;
    this.nodes.set(node, { lease, seen: moment.observed, restored });
    this.dead.delete(node);
    return { kind: 'renewed', restore: !restored, world: this.name };
  }

  /** Whether the caller has a valid lease. Every call under one is a sign of life. */
  signOfLife({ node, lease, runId }: Caller, moment: Moment): boolean {
    const { world } = this;
    const held = this.nodes.get(node);
    if (world === undefined || world.run !== runId || held?.lease !== lease) return false;
    this.#keepClock(world, moment);
    this.nodes.set(node, { ...held, seen: moment.observed });
    return true;
  }

  /** A sign of life of a node that needs no lease: it is the store. */
  note(node: string, { observed }: Moment): void {
    this.nodes.set(node, { lease: '', seen: observed, restored: true });
    this.dead.delete(node);
  }

  isYoung({ observed }: Moment, forEnds = false): boolean {
    if (this.world === undefined) return false;
    const { youngMs, loginsFirstMs } = this.limits;
    return observed < this.world.start + youngMs + (forEnds ? loginsFirstMs : 0);
  }

  /** Whether a claim has to wait for nodes that have yet to restate what they hold. */
  delays(node: string, claim: Claim, moment: Moment): boolean {
    if (claim.mode === 'restate') return false;
    if (claim.mode === 'state') return this.isYoung(moment, !isHolding(claim));
    // A node that has yet to restate would open beside it what runs there already.
    return this.isYoung(moment) || this.nodes.get(node)?.restored === false;
  }

  /** Nodes without a sign of life for `silenceMs` lose their lease at once and for good. */
  buryDead(silenceMs: number, { observed }: Moment): Deaths {
    const died: string[] = [];
    let nextDeathMs: number | undefined;
    for (const [node, { seen }] of this.nodes) {
      const rest = silenceMs - (observed - seen);
      if (rest > 0) nextDeathMs = Math.min(rest, nextDeathMs ?? rest);
      else died.push(node);
    }
    for (const node of died) {
      this.nodes.delete(node);
      this.dead.add(node);
    }
    return { died, nextDeathMs };
  }

  raiseEpoch(epoch: number): void {
    this.highestEpoch = Math.max(this.highestEpoch, epoch);
  }

  sightings({ observed }: Moment): readonly Sighting[] {
    const living = [...this.nodes].map(([node, { lease, seen }]) => ({
      ...{ node, silentMs: Math.max(0, observed - seen) },
      sign: lease === '' ? undefined : seen,
    }));
    return [...living, ...[...this.dead].map((node) => ({ node, silentMs: undefined, sign: undefined }))];
  }

  /** Takes over what `other` knows: a snapshot of it, or the way back. */
  copyFrom(other: Leases): void {
    this.world = other.world;
    this.highestEpoch = other.highestEpoch;
    this.nodes.clear();
    for (const [node, lease] of other.nodes) this.nodes.set(node, lease);
    this.dead.clear();
    for (const node of other.dead) this.dead.add(node);
  }

  /**
   * Another Redis than the one that gave the leases, or one that was left for another and leads again with what it had
   * then: everybody states anew what it holds. A node that stays away dies like every other.
   */
  #begin(run: string, lived: number, { wall, observed }: Moment): void {
    for (const node of this.nodes.keys())
      this.nodes.set(node, { lease: '', seen: observed, restored: false });
    const generation = Math.max(this.world?.generation ?? 0, lived) + 1;
    this.world = { clock: observed, reading: wall, run, start: observed, generation };
  }

  #keepClock(world: World, { wall, observed }: Moment): void {
    const { youngMs, stallMs } = this.limits;
    // Nobody could restore anything: the young window begins anew.
    const isStall = wall - world.reading > stallMs && world.clock < world.start + youngMs;
    this.world = { ...world, clock: observed, reading: wall, start: isStall ? observed : world.start };
  }
}
