import type { Claim } from '../store/port.ts';
import { isHolding, type Moment } from './record.ts';

/** The caller of the store: a node, the lease of its connection, and the `run_id` of the Redis that this connection reached. */
export interface Caller {
  readonly node: string;
  /** Rises with every connection of the node. */
  readonly lease: string;
  readonly runId: string;
}

/** The lease of a node. */
export interface Lease {
  /** Empty: the node has not renewed in this world. */
  readonly lease: string;
  /** Observed time of the newest sign of life. */
  readonly seen: number;
  /** Whether the node has claimed all its holds in this world. */
  readonly restored: boolean;
}

/** The world: one data set of the store, from a start or a loss of data to the next one. */
export interface World {
  readonly clock: number;
  /** Wall clock at which {@link clock} was kept. */
  readonly reading: number;
  readonly run: string;
  /** Observed time at which the world started. Until `youngMs` later it is young. */
  readonly start: number;
  /** Rises with each new world, on any Redis. */
  readonly generation: number;
}

export interface Renewal {
  /** The world in which the node has claimed all its holds. {@link ANY_WORLD}: it had none. */
  readonly restatedIn: string | undefined;
  /** Generation of the newest world that the node has seen. 0: none. */
  readonly lived: number;
  readonly highestEpoch: number;
}

export type Renewed =
  /** The node has renewed on a newer connection. */
  | { readonly kind: 'stale' }
  | { readonly kind: 'renewed'; readonly restore: boolean; readonly world: string };

/** The nodes that are dead now, and when the next one will be. */
export interface Deaths {
  readonly died: readonly string[];
  /** Time until the next node is dead, unless it gives a sign of life. Undefined: there is no other node. */
  readonly nextDeathMs: number | undefined;
}

/** A node as an operator sees it. */
export interface Sighting {
  readonly node: string;
  /** Age of the newest sign of life. Undefined: the node is dead. */
  readonly silentMs: number | undefined;
  /** Undefined if the node has not renewed in this world. */
  readonly sign: number | undefined;
}

export interface LeaseLimits {
  /** For this long after its start a world is young: only renewals and claims in mode `restate` act. */
  readonly youngMs: number;
  /** No hold ends for this much longer. So a user whose login waited logs in before the linger ends. */
  readonly loginsFirstMs: number;
  /** The observed clock moves at most this much between two calls. */
  readonly maxChargedMs: number;
  /** If more time lies between two calls, no node could restore its holds in that time. */
  readonly stallMs: number;
}

/** For {@link Renewal.restatedIn}. */
export const ANY_WORLD = '*';
// Each node calls every half second, and gives up a call after a second.
const LIMITS: LeaseLimits = { youngMs: 2000, loginsFirstMs: 500, maxChargedMs: 2000, stallMs: 1000 };

/**
 * The rules of leases, without I/O; time is an argument: the observed clock, the start of a world, the living and the dead
 * nodes. `renew.lua`, `reap.lua` and the prelude follow it line by line (rules PR8 and PR11).
 */
export class Leases {
  limits: LeaseLimits = LIMITS;
  /** Undefined before the first renewal, and after a wipe until the next renewal. */
  world: World | undefined;
  readonly nodes = new Map<string, Lease>();
  /** Dead nodes that still have holds or duties. */
  readonly dead = new Set<string>();
  /** Every new epoch is higher than this one (rule PR3). */
  highestEpoch = 0;

  /** The observed time of the store at a reading of the wall clock. Changes nothing. */
  momentAt(wall: number): Moment {
    if (this.world === undefined) return { wall, observed: wall };
    const { clock, reading } = this.world;
    return { wall, observed: clock + Math.max(0, Math.min(this.limits.maxChargedMs, wall - reading)) };
  }

  /** Name of the world. It changes with each start, and if the time in which the world is young begins again. */
  get name(): string {
    const { run, start, generation } = this.world ?? { run: '', start: 0, generation: 0 };
    return `${run}:${start}:${generation}`;
  }

  /** Gives the caller a lease. No other call gives one. A renewal is a sign of life. */
  renew({ node, lease, runId }: Caller, renewal: Renewal, moment: Moment): Renewed {
    // A late renewal of an older connection must not bring back the lease of that connection.
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

  /** Whether the caller has a valid lease. Each call with one is a sign of life. */
  signOfLife({ node, lease, runId }: Caller, moment: Moment): boolean {
    const { world } = this;
    const held = this.nodes.get(node);
    if (world === undefined || world.run !== runId || held?.lease !== lease) return false;
    this.#keepClock(world, moment);
    this.nodes.set(node, { ...held, seen: moment.observed });
    return true;
  }

  /** A sign of life of a node that needs no lease, because it has the store in its own memory. */
  note(node: string, { observed }: Moment): void {
    this.nodes.set(node, { lease: '', seen: observed, restored: true });
    this.dead.delete(node);
  }

  isYoung({ observed }: Moment, forEnds = false): boolean {
    if (this.world === undefined) return false;
    const { youngMs, loginsFirstMs } = this.limits;
    return observed < this.world.start + youngMs + (forEnds ? loginsFirstMs : 0);
  }

  /** Whether a claim has to wait for nodes that have not restored yet. */
  delays(node: string, claim: Claim, moment: Moment): boolean {
    if (claim.mode === 'restate') return false;
    if (claim.mode === 'state') return this.isYoung(moment, !isHolding(claim));
    // A node that has not restored yet could open a second period beside the one that it still holds.
    return this.isYoung(moment) || this.nodes.get(node)?.restored === false;
  }

  /** Nodes without a sign of life for `silenceMs` are dead: they lose their lease for good. */
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

  /** Copies the whole state of `other`, to make a snapshot or to go back to one. */
  copyFrom(other: Leases): void {
    this.world = other.world;
    this.highestEpoch = other.highestEpoch;
    this.nodes.clear();
    for (const [node, lease] of other.nodes) this.nodes.set(node, lease);
    this.dead.clear();
    for (const node of other.dead) this.dead.add(node);
  }

  /**
   * Starts a new world: this is not the Redis that gave the leases, or it is one that an earlier failover had replaced. Every
   * node claims its holds again. A node that does not come back will be dead like any other.
   */
  #begin(run: string, lived: number, { wall, observed }: Moment): void {
    for (const node of this.nodes.keys())
      this.nodes.set(node, { lease: '', seen: observed, restored: false });
    const generation = Math.max(this.world?.generation ?? 0, lived) + 1;
    this.world = { clock: observed, reading: wall, run, start: observed, generation };
  }

  #keepClock(world: World, { wall, observed }: Moment): void {
    const { youngMs, stallMs } = this.limits;
    // No node could restore anything in that time, so the world is young again from now on.
    const isStall = wall - world.reading > stallMs && world.clock < world.start + youngMs;
    this.world = { ...world, clock: observed, reading: wall, start: isStall ? observed : world.start };
  }
}
