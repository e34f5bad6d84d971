import type { Duty } from '../../src/protocol/periods.ts';
import { isCalm, isSilent } from './all-is-well.ts';
import type { BrokenPorts } from './broken-ports.ts';
import { checkCalm, checkHealed } from './checks.ts';
import { type ClientWorld, Device, issuedNow } from './client.ts';
import { audience, NOBODY } from './contents.ts';
import { type Fault, Faults } from './faults.ts';
import { GroupWitness } from './group-witness.ts';
import { HeartbeatWitness } from './heartbeat-witness.ts';
import type { Mutation } from './mutation.ts';
import { RedisHost } from './network.ts';
import type { Random } from './random.ts';
import { RevocationWitness } from './revocation-witness.ts';
import { Scheduler } from './scheduler.ts';
import { SimulatedBus } from './simulated-bus.ts';
import {
  MAX_CONNECTIONS,
  MAX_GROUPS,
  RESPONSIVE_LEFT_MS,
  type Rules,
  SimulatedNode,
} from './simulated-node.ts';
import { SimulatedRedis, type SimulatedRedisOptions } from './simulated-redis.ts';
import { SimulatedSql } from './simulated-sql.ts';
import { Strict } from './strict.ts';
import { Witness } from './witness.ts';

/** Where a Redis comes from that is more than the rules. */
export interface RedisSource {
  /** `differs` receives each difference between the scripts and the rules. */
  redis(options: SimulatedRedisOptions, differs: (text: string) => void): SimulatedRedis;
}

export interface DeploymentOptions {
  readonly random: Random;
  readonly rules: Rules;
  /** The faults that may happen. The witness must know them. */
  readonly faults: readonly Fault[];
  readonly mutation?: Mutation | undefined;
  readonly broken?: BrokenPorts | undefined;
  /** Collects a line for each event. */
  readonly trace?: string[] | undefined;
  /** Share of clients that leave before their upgrade. */
  readonly leaves: number;
  /** A real Redis with the shipped scripts. */
  readonly runner?: RedisSource | undefined;
  /** Called for each period that ends. */
  readonly ended?: (duty: Omit<Duty, 'id'>) => void;
}

/** How long the deployment runs without faults while all users play on. */
const CALM_MS = 13_000;
const LAST_NOTICE_MS = 6000;
/** How long it runs after all users have left: the last deadline, the reaping of a dead node, the reconciling of a lost row. */
const SILENCE_MS = 45_000;
/** Share of histories that always wait to the end, because a good state may not last. */
const FULL_WAIT_SHARE = 0.05;
const LOOK_MS = 500;
const WELL_LOOKS = 3;

/** Nodes, clients, Redis and SQL on simulated time, with the witnesses that watch them. */
export class Deployment {
  readonly scheduler = new Scheduler();
  readonly random: Random;
  readonly rules: Rules;
  readonly redis: SimulatedRedis;
  readonly host: RedisHost;
  readonly bus = new SimulatedBus(this.scheduler);
  readonly sql: SimulatedSql;
  readonly witness: Witness;
  readonly strict: Strict;
  readonly groups: GroupWitness;
  readonly heartbeats: HeartbeatWitness;
  readonly revocations: RevocationWitness;
  readonly faults: Faults;
  readonly devices: Device[] = [];
  readonly nodes: SimulatedNode[] = [];
  readonly #clients: ClientWorld;
  readonly #lines: string[] | undefined;
  readonly #broken: BrokenPorts;
  #incarnations = 0;

  constructor(options: DeploymentOptions) {
    const { random, rules, faults, mutation = {}, trace: lines, leaves, ended, runner } = options;
    const { scheduler, trace } = this;
    this.#lines = lines;
    this.#broken = options.broken ?? {};
    this.random = random;
    this.rules = rules;
    const redis = (): SimulatedRedis => this.redis;
    const nodes = (): readonly SimulatedNode[] => this.nodes;
    const sql = new SimulatedSql({ loginResetsTime: rules.loginResetsTime, mutation });
    const witness = new Witness({
      scheduler,
      redis,
      trace,
      rowOf: (key) => sql.rows.get(key),
      nodes,
      policy: rules.policy,
    });
    const groups = new GroupWitness({ scheduler, redis, witness, nodes, devices: this.devices });
    this.groups = groups;
    const heartbeats = new HeartbeatWitness(witness);
    this.heartbeats = heartbeats;
    const strict = new Strict({ scheduler, redis, sql, rules, witness, faults, nodes });
    this.revocations = new RevocationWitness({ witness, nodes, now: () => scheduler.now });
    this.sql = sql;
    this.witness = witness;
    this.strict = strict;
    const redisOptions = {
      ...{
        scheduler,
        mutation,
        events: audience(
          {
            ...NOBODY,
            ended: (duty) => {
              groups.ended(duty);
              ended?.(duty);
            },
            claimed: (...args) => heartbeats.claimed(...args),
            groupsChanged: (userId) => groups.changed(userId),
            groupsReturned: (userId) => groups.returned(userId),
          },
          witness,
          strict,
        ),
      },
      rules: {
        ...rules,
        maxConnectionsPerUser: MAX_CONNECTIONS,
        maxGroupsPerUser: MAX_GROUPS,
        responsiveLeftMs: RESPONSIVE_LEFT_MS,
      },
    };
    const differs = (text: string): void => witness.violated(`[PR13] ${text}`);
    this.redis = runner?.redis(redisOptions, differs) ?? new SimulatedRedis(redisOptions);
    this.host = new RedisHost(this.redis, scheduler);
    const { revocations } = this;
    this.#clients = { scheduler, random, witness, strict, revocations, nodes, trace, leaves };
    this.faults = new Faults({
      ...{ scheduler, random, host: this.host, sql, witness, groups, nodes, trace },
      replace: (node) => this.#replace(node),
    });
  }

  readonly trace = (text: () => string): void => {
    this.#lines?.push(`${String(Math.round(this.scheduler.now)).padStart(7)} ${text()}`);
  };

  get isSound(): boolean {
    return this.witness.violations.length === 0;
  }

  advance(ms: number): void {
    this.scheduler.runUntil(this.scheduler.now + ms);
  }

  addDevice(userId: number, name: string): Device {
    const device = new Device(userId, `${userId}${name}`, this.#clients);
    if (this.rules.revokes === true) device.issuedAt = issuedNow(this.scheduler);
    this.devices.push(device);
    return device;
  }

  startNode(name = `n${this.#incarnations + 1}`): SimulatedNode {
    this.#incarnations += 1;
    const { scheduler, host, bus, sql, rules, trace, random } = this;
    const world = { scheduler, host, bus, sql, rules, trace, broken: this.#broken };
    const seed = { random: random.int(0, 2 ** 31), skewMs: random.int(-20, 20) };
    const node = new SimulatedNode(name, world, seed);
    trace(() => `${node.name} starts`);
    this.nodes.push(node);
    void node.start();
    return node;
  }

  /** A login or a heartbeat by HTTP arrives at `node`. */
  async proveByHttp(node: SimulatedNode, userId: number, isLogin: boolean): Promise<boolean> {
    const at = this.scheduler.now;
    this.witness.asks(userId, 1);
    const { tracker } = node;
    const { ok } = await (isLogin ? tracker.login({ userId, ip: '' }) : tracker.heartbeat(userId));
    this.trace(() => `HTTP ${isLogin ? 'login' : 'heartbeat'} of ${userId} on ${node.name}: ${ok}`);
    this.witness.asks(userId, -1);
    if (!ok) return false;
    if (!isLogin) this.heartbeats.taken(node, userId, at);
    this.witness.loggedIn(node, userId, at);
    const record = this.redis.world.records.get(userId);
    if (record?.recorded !== true) return true;
    if (record.holds.size === 1) this.strict.came(userId, record.period, node.name);
    else this.strict.isInTwoPlaces(userId, record.period, node.name);
    return true;
  }

  /** Ends all faults. Then all users play on and leave, and everything must be settled. */
  heal(): void {
    this.trace(() => 'HEALING: no more faults');
    this.faults.heal();
    this.#clients.leaves = 0;
    for (const device of this.devices) device.renewsToken = true;
    for (const node of [...this.nodes]) if (!node.isUp || !node.accepts) this.#replace(node);
    this.#advanceUntil(CALM_MS, isCalm);
    // No user connects any more, so every node must learn of the last take-over.
    for (const device of this.devices) device.returns = false;
    this.#advanceUntil(LAST_NOTICE_MS, isCalm);
    if (this.isSound) checkCalm(this);
    if (this.isSound) this.groups.checkCalm();
    if (this.isSound) this.strict.checkCalm();
    if (!this.isSound) return;
    this.trace(() => 'SILENCE: nobody plays any more');
    for (const { socket } of this.devices) if (socket !== undefined) socket.pings = false;
    this.#advanceUntil(SILENCE_MS, isSilent);
    if (this.isSound) checkHealed(this);
    if (this.isSound) this.strict.checkHealed();
  }

  /** A real Redis stores what the rules say (rule PR13). */
  compareStores(): void {
    if (this.isSound) this.redis.compareState();
  }

  end(): void {
    for (const node of this.nodes) node.kill();
  }

  /** Waits up to `ms`. It stops earlier if all is well at several looks in a row, because simulated time is not free. */
  #advanceUntil(ms: number, isWell: (deployment: Deployment) => boolean): void {
    const until = this.scheduler.now + ms;
    const isPatient = this.random.chance(FULL_WAIT_SHARE);
    for (let looks = 0; this.isSound && this.scheduler.now < until && (isPatient || looks < WELL_LOOKS); ) {
      this.scheduler.runUntil(Math.min(until, this.scheduler.now + LOOK_MS));
      looks = isWell(this) ? looks + 1 : 0;
    }
  }

  #replace(node: SimulatedNode): void {
    const index = this.nodes.indexOf(node);
    if (index < 0) return;
    node.kill();
    this.nodes.splice(index, 1);
    this.startNode();
  }
}
