import type { Deployment } from '../../../test/simulation/deployment.ts';
import type { Fault } from '../../../test/simulation/faults.ts';
import { GOOD_LINE } from '../../../test/simulation/network.ts';
import type { SimulatedNode } from '../../../test/simulation/simulated-node.ts';
import { type Action, SLOTS, type Slot } from './actions.ts';

const HOUR_MS = 3_600_000;
/** Time without a master. */
const PROMOTION_MS = 1000;
/** After a loss, nodes claim their holds again, and Redis has them within this time. */
const DISTURBED_MS = 1000;

/**
 * The actions of a visitor on the deployment. The witnesses hear of them as they hear of the faults that the simulator draws, but
 * of the end of a fault only when it comes.
 */
export class Faults {
  readonly #deployment: Deployment;
  /** The faults so far: until the first one, the strictest checks hold. */
  readonly #seen: Fault[];
  readonly #nodes = new Map<Slot, SimulatedNode>();
  readonly #starts = new Map<Slot, number>();
  /** The contents of the replica, oldest first. */
  #copies: (() => void)[] = [];
  #promotedAt: number | undefined;

  constructor(deployment: Deployment, seen: Fault[]) {
    this.#deployment = deployment;
    this.#seen = seen;
    for (const slot of SLOTS) this.#start(slot);
  }

  nodeOf(slot: Slot): SimulatedNode {
    const node = this.#nodes.get(slot);
    if (node === undefined) throw new Error(`node ${slot} was never started`);
    return node;
  }

  /** Both stores answer, at least one node runs, and no running node has a fault. */
  get isCalm(): boolean {
    const { host, sql } = this.#deployment;
    const up = SLOTS.map((slot) => this.nodeOf(slot)).filter(({ isUp }) => isUp);
    const isWell = up.every(({ accepts, clock, link }) => accepts && !clock.isFrozen && !link.cut);
    return !host.isBad && !sql.down && up.length > 0 && isWell;
  }

  /** The replica is a second or two behind the master. */
  replicate(): void {
    this.#copies = [...this.#copies.slice(-1), this.#deployment.redis.snapshot()];
  }

  /** Whether the replica became the master now. */
  promote(): boolean {
    const { scheduler, host } = this.#deployment;
    if (this.#promotedAt === undefined || scheduler.now < this.#promotedAt) return false;
    this.#promotedAt = undefined;
    host.down = false;
    return true;
  }

  /** Whether the action has a meaning now. */
  canDo(action: Action): boolean {
    const { host, sql } = this.#deployment;
    if (action.kind === 'wipe' || action.kind === 'failover') return !host.down;
    if (action.kind === 'stop-sql' || action.kind === 'start-sql')
      return sql.down === (action.kind === 'start-sql');
    if (!('node' in action) || action.kind === 'connect') return true;
    const node = this.nodeOf(action.node);
    switch (action.kind) {
      case 'start':
        return !node.isUp;
      case 'freeze':
      case 'thaw':
        return node.isUp && node.clock.isFrozen === (action.kind === 'thaw');
      case 'cut':
      case 'join':
        return node.isUp && node.link.cut === (action.kind === 'join');
      default:
        return node.isUp;
    }
  }

  do(action: Action): void {
    switch (action.kind) {
      case 'kill':
        return this.#kill(this.nodeOf(action.node));
      case 'start':
        return this.#start(action.node);
      case 'freeze':
      case 'cut':
        return this.#hinder(this.nodeOf(action.node), action.kind);
      case 'thaw':
      case 'join':
        return this.#heal(this.nodeOf(action.node), action.kind);
      case 'step-node':
        this.#note('step-nodes');
        this.#deployment.witness.stepped = true;
        this.nodeOf(action.node).clock.skewMs += action.hours * HOUR_MS;
        return;
      case 'step-store':
        this.#note('step-redis');
        this.#deployment.witness.redisStepped(action.hours * HOUR_MS);
        this.#deployment.redis.skewMs += action.hours * HOUR_MS;
        return;
      case 'wipe':
        return this.#wipe();
      case 'failover':
        return this.#failover();
      case 'stop-sql':
      case 'start-sql':
        return this.#sql(action.kind === 'stop-sql');
      default:
        return;
    }
  }

  #note(fault: Fault): void {
    if (!this.#seen.includes(fault)) this.#seen.push(fault);
  }

  #kill(node: SimulatedNode): void {
    this.#note('kill');
    node.kill();
    this.#deployment.witness.diedAt = this.#deployment.scheduler.now;
  }

  #start(slot: Slot): void {
    const { nodes } = this.#deployment;
    const old = this.#nodes.get(slot);
    if (old !== undefined) nodes.splice(nodes.indexOf(old), 1);
    const start = (this.#starts.get(slot) ?? 0) + 1;
    this.#starts.set(slot, start);
    this.#nodes.set(slot, this.#deployment.startNode(`${slot}${start}`));
  }

  #hinder(node: SimulatedNode, how: 'freeze' | 'cut'): void {
    const { now } = this.#deployment.scheduler;
    this.#note(how);
    node.trouble(now, Number.POSITIVE_INFINITY);
    if (how === 'freeze') {
      node.frozen.add(now, Number.POSITIVE_INFINITY);
      node.clock.freeze();
    } else {
      node.link.cut = true;
      node.link.disconnect();
    }
  }

  #heal(node: SimulatedNode, how: 'thaw' | 'join'): void {
    const { now } = this.#deployment.scheduler;
    if (how === 'thaw') {
      node.frozen.heal(now);
      node.clock.thaw();
    } else {
      node.link.cut = false;
      Object.assign(node.link.quality, GOOD_LINE);
    }
    if (node.clock.isFrozen || node.link.cut) return;
    node.troubles.heal(now);
    node.troubledUntil = now;
  }

  #wipe(): void {
    const { witness, groups, redis } = this.#deployment;
    this.#note('wipe');
    witness.forgot();
    groups.forgot();
    redis.wipe();
  }

  #failover(): void {
    const { witness, groups, host, redis, nodes, scheduler } = this.#deployment;
    const { now } = scheduler;
    this.#note('failover');
    witness.forgot();
    groups.forgot();
    witness.rolledBack = true;
    const back = now + PROMOTION_MS;
    witness.disturbedUntil = Math.max(witness.disturbedUntil, back + DISTURBED_MS);
    witness.redisTroubles.add(now, back + DISTURBED_MS);
    witness.redisAway.add(now, back);
    host.down = true;
    host.forget();
    this.#copies[0]?.();
    witness.wentBack();
    redis.restart();
    for (const node of nodes) if (node.isUp) node.link.disconnect();
    this.#promotedAt = back;
  }

  #sql(isDown: boolean): void {
    const { witness, sql, scheduler } = this.#deployment;
    sql.down = isDown;
    if (!isDown) return witness.sqlTroubles.heal(scheduler.now);
    this.#note('sql-down');
    witness.sqlFailed = true;
    witness.sqlTroubles.add(scheduler.now, Number.POSITIVE_INFINITY);
  }
}
