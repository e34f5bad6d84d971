import type { GroupWitness } from './group-witness.ts';
import { GOOD_LINE, type RedisHost } from './network.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import type { SimulatedNode } from './simulated-node.ts';
import type { SimulatedSql } from './simulated-sql.ts';
import type { Witness } from './witness.ts';

export interface FaultWorld {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly host: RedisHost;
  readonly sql: SimulatedSql;
  readonly witness: Witness;
  readonly groups: Pick<GroupWitness, 'forgot'>;
  readonly nodes: () => readonly SimulatedNode[];
  /** Starts a new incarnation in the place of `node`. */
  readonly replace: (node: SimulatedNode) => void;
  readonly trace: (text: () => string) => void;
}

const HOUR_MS = 3_600_000;

export const FAULTS = [
  ...['freeze', 'cut', 'kill', 'drain', 'bad-line', 'stall', 'restart', 'failover', 'wipe', 'step-redis'],
  ...['step-nodes', 'sql-down', 'sql-hangs', 'sql-slow', 'sql-replies-lost'],
] as const;
export type Fault = (typeof FAULTS)[number];

/** The faults of a deployment. Each one ends by itself, and `heal` ends them all at once. */
export class Faults {
  readonly #world: FaultWorld;
  #healed = false;
  #lagging = false;

  constructor(world: FaultWorld) {
    this.#world = world;
  }

  strike(fault: Fault): void {
    const { random, nodes } = this.#world;
    const up = nodes().filter((node) => node.isUp);
    if (up.length === 0) return;
    const node = random.pick(up);
    this.#world.trace(() => `FAULT ${fault}`);
    switch (fault) {
      case 'freeze':
        return this.#freeze(node);
      case 'cut':
        return this.#cut(node);
      case 'kill':
        return this.#kill(node);
      case 'drain':
        return this.#drain(node);
      case 'bad-line':
        return this.#badLine(node);
      default:
        return this.#strikeStores(fault);
    }
  }

  heal(): void {
    const { nodes, host, sql, witness, scheduler } = this.#world;
    this.#healed = true;
    for (const node of nodes()) {
      this.#restoreLine(node);
      if (node.clock.isFrozen || node.troubledUntil > scheduler.now)
        node.troubledUntil = Math.min(node.troubledUntil, scheduler.now);
      for (const spells of [node.troubles, node.frozen, node.badLine]) spells.heal(scheduler.now);
      node.clock.thaw();
    }
    host.down = false;
    if (host.stalled) host.goOn();
    witness.disturbedUntil = Math.min(witness.disturbedUntil, scheduler.now);
    witness.sqlTroubles.heal(scheduler.now);
    witness.redisTroubles.heal(scheduler.now);
    witness.redisAway.heal(scheduler.now);
    Object.assign(sql, { down: false, hanging: false, slowMs: 0, lostReplies: 0 });
  }

  #strikeStores(fault: Fault): void {
    switch (fault) {
      case 'stall':
        return this.#stall();
      case 'restart':
        return this.#restart(() => undefined, this.#world.random.int(100, 4000));
      case 'failover':
        return this.#failover();
      case 'wipe':
        this.#world.witness.forgot();
        this.#world.groups.forgot();
        return this.#world.host.redis.wipe();
      case 'step-redis':
        return this.#stepRedis();
      case 'step-nodes':
        return this.#stepNodes();
      default:
        return this.#strikeSql(fault);
    }
  }

  #strikeSql(fault: Fault): void {
    const { sql, random, witness } = this.#world;
    const ms = this.#duration();
    witness.sqlFailed = true;
    witness.sqlTroubles.add(this.#world.scheduler.now, this.#world.scheduler.now + ms);
    switch (fault) {
      case 'sql-down':
        sql.down = true;
        return this.#after(ms, () => Object.assign(sql, { down: false }));
      case 'sql-hangs':
        sql.hanging = true;
        return this.#after(ms, () => Object.assign(sql, { hanging: false }));
      case 'sql-slow':
        sql.slowMs = random.int(100, 3000);
        return this.#after(ms, () => Object.assign(sql, { slowMs: 0 }));
      default:
        sql.lostReplies = 0.4;
        return this.#after(ms, () => Object.assign(sql, { lostReplies: 0 }));
    }
  }

  /** Usually too short to make a node look dead, and sometimes much longer. */
  #duration(): number {
    const { random } = this.#world;
    return random.chance(0.7) ? random.int(200, 7500) : random.int(7500, 25_000);
  }

  #freeze(node: SimulatedNode): void {
    const ms = this.#duration();
    node.trouble(this.#world.scheduler.now, ms);
    this.#world.trace(() => `${node.name} freezes for ${ms} ms`);
    node.frozen.add(this.#world.scheduler.now, this.#world.scheduler.now + ms);
    node.clock.freeze();
    this.#after(ms, () => {
      this.#world.trace(() => `${node.name} thaws`);
      node.clock.thaw();
    });
  }

  #cut(node: SimulatedNode): void {
    const ms = this.#duration();
    node.trouble(this.#world.scheduler.now, ms);
    this.#world.trace(() => `${node.name} is cut off from Redis for ${ms} ms`);
    node.link.cut = true;
    if (this.#world.random.chance(0.5)) node.link.disconnect();
    this.#after(ms, () => {
      this.#world.trace(() => `${node.name} reaches Redis again`);
      node.link.cut = false;
    });
  }

  #kill(node: SimulatedNode): void {
    const { random, trace, replace, witness } = this.#world;
    trace(() => `${node.name} is killed`);
    node.kill();
    witness.diedAt = this.#world.scheduler.now;
    this.#after(random.int(300, 20_000), () => replace(node));
  }

  #drain(node: SimulatedNode): void {
    const { random, replace, trace, witness } = this.#world;
    if (!node.accepts) return;
    trace(() => `${node.name} gets SIGTERM`);
    witness.diedAt = this.#world.scheduler.now;
    void node.stop();
    this.#after(random.int(6000, 15_000), () => {
      node.kill();
      replace(node);
    });
  }

  #badLine(node: SimulatedNode): void {
    const { random, witness, scheduler } = this.#world;
    Object.assign(node.link.quality, {
      lostRequests: random.pick([0, 0.03, 0.1]),
      lostReplies: random.pick([0, 0.03, 0.1]),
      doubled: random.pick([0, 0.1]),
      late: random.pick([0, 0.05, 0.2]),
    });
    const ms = random.int(3000, 15_000);
    witness.slowUntil = Math.max(witness.slowUntil, scheduler.now + ms);
    node.badLine.add(scheduler.now, scheduler.now + ms);
    this.#after(ms, () => this.#restoreLine(node));
  }

  #stall(): void {
    const { host, witness, scheduler } = this.#world;
    const ms = this.#duration();
    host.stalled = true;
    witness.disturbedUntil = Math.max(witness.disturbedUntil, scheduler.now + ms);
    witness.redisTroubles.add(scheduler.now, scheduler.now + ms);
    witness.redisAway.add(scheduler.now, scheduler.now + ms);
    this.#after(ms, () => host.goOn());
  }

  /** The server stops. After `downMs` another one takes its place, with the contents from `restore`. */
  #restart(restore: () => void, downMs: number): void {
    const { host, nodes, witness, scheduler } = this.#world;
    if (host.down) return;
    witness.disturbedUntil = Math.max(witness.disturbedUntil, scheduler.now + downMs + 1000);
    witness.redisTroubles.add(scheduler.now, scheduler.now + downMs + 1000);
    witness.redisAway.add(scheduler.now, scheduler.now + downMs);
    host.down = true;
    host.forget();
    restore();
    host.redis.restart();
    for (const node of nodes()) if (node.isUp) node.link.disconnect();
    this.#after(downMs, () => {
      host.down = false;
    });
  }

  #failover(): void {
    const { host, random } = this.#world;
    // One replica at a time.
    if (this.#lagging) return;
    this.#lagging = true;
    const restore = host.redis.snapshot();
    this.#after(random.int(50, 6000), () => {
      this.#lagging = false;
      this.#world.witness.forgot();
      this.#world.groups.forgot();
      this.#world.witness.rolledBack = true;
      this.#world.trace(() => 'Redis fails over to the snapshot');
      const goBack = (): void => {
        restore();
        this.#world.witness.wentBack();
      };
      this.#restart(goBack, random.int(50, 3000));
    });
  }

  #stepRedis(): void {
    const { host, random, witness } = this.#world;
    const ms = random.pick([8 * HOUR_MS, -8 * HOUR_MS, HOUR_MS, -HOUR_MS, 5000, -5000]);
    witness.redisStepped(ms);
    host.redis.skewMs += ms;
  }

  #stepNodes(): void {
    const { nodes, random, witness } = this.#world;
    witness.stepped = true;
    random.pick(nodes()).clock.skewMs += random.pick([8 * HOUR_MS, -HOUR_MS, 5000, -5000]);
  }

  #restoreLine(node: SimulatedNode): void {
    Object.assign(node.link.quality, GOOD_LINE);
    if (this.#healed) node.link.cut = false;
  }

  /** After `heal`, nothing more happens. */
  #after(ms: number, then: () => void): void {
    const { scheduler } = this.#world;
    scheduler.schedule(scheduler.now + ms, () => {
      if (!this.#healed) then();
    });
  }
}
