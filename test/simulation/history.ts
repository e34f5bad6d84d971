import { checkCalm, checkHealed, checkStep } from './checks.ts';
import { type ClientWorld, Device } from './client.ts';
import { FAULTS, type Fault, Faults } from './faults.ts';
import type { Mutation } from './mutation.ts';
import { RedisHost } from './network.ts';
import { Random } from './random.ts';
import { Phase, Scheduler } from './scheduler.ts';
import { MAX_CONNECTIONS, type Rules, SimulatedNode } from './simulated-node.ts';
import { SimulatedRedis } from './simulated-redis.ts';
import { SimulatedSql } from './simulated-sql.ts';
import { Witness } from './witness.ts';

export interface HistoryOptions {
  readonly seed: number;
  readonly history: number;
  readonly mutation?: Mutation;
  /** Collects a line for everything that happens. */
  readonly trace?: string[];
  readonly steps?: number;
}

export interface HistoryReport {
  readonly violations: readonly string[];
  readonly seed: number;
  readonly history: number;
}

const STEPS = 200;
/** Nothing befalls anybody, everybody plays on. */
const CALM_MS = 13_000;
const LAST_NOTICE_MS = 6000;
/** Nobody plays any more: the last deadline, a dead node's reaping, a lost row's reconciling. */
const SILENCE_MS = 45_000;

/** One random history of a deployment, from its start until everybody has left and everything must be settled. */
export class History {
  readonly scheduler = new Scheduler();
  readonly random: Random;
  readonly rules: Rules;
  readonly redis: SimulatedRedis;
  readonly host: RedisHost;
  readonly sql: SimulatedSql;
  readonly witness: Witness;
  readonly devices: Device[] = [];
  readonly nodes: SimulatedNode[] = [];
  readonly #options: HistoryOptions;
  readonly #clients: ClientWorld;
  readonly #faults: Faults;
  readonly #faultKinds: readonly Fault[];
  readonly #faultShare: number;
  #incarnations = 0;

  constructor(options: HistoryOptions) {
    this.#options = options;
    const random = new Random(
      Math.imul(options.seed, 0x9e3779b1) ^ Math.imul(options.history + 1, 0x85ebca6b),
    );
    this.random = random;
    this.rules = {
      policy: random.weighted({ replace: 6, reject: 2, multi: 2 }),
      loginResetsTime: random.chance(0.5),
      lastSeenTtlMs: random.pick([86_400_000, 86_400_000, 5000, 0]),
    };
    const { scheduler } = this;
    const mutation = options.mutation ?? {};
    const trace = this.trace;
    this.witness = new Witness({ scheduler, redis: () => this.redis, trace });
    this.redis = new SimulatedRedis({
      scheduler,
      rules: { ...this.rules, maxConnectionsPerUser: MAX_CONNECTIONS },
      mutation,
      events: this.witness,
    });
    this.host = new RedisHost(this.redis, scheduler);
    this.sql = new SimulatedSql({ loginResetsTime: this.rules.loginResetsTime, mutation });
    const nodes = (): readonly SimulatedNode[] => this.nodes;
    this.#clients = {
      scheduler,
      random,
      witness: this.witness,
      nodes,
      trace,
      leaves: random.pick([0, 0, 0.05]),
    };
    this.#faults = new Faults({
      ...{ scheduler, random, host: this.host, sql: this.sql, witness: this.witness, nodes, trace },
      replace: (node) => this.#replace(node),
    });
    this.#faultKinds = FAULTS.filter(() => random.chance(0.35));
    this.#faultShare = this.#faultKinds.length === 0 ? 0 : random.pick([0.02, 0.05, 0.12]);
  }

  readonly trace = (text: () => string): void => {
    this.#options.trace?.push(`${String(Math.round(this.scheduler.now)).padStart(7)} ${text()}`);
  };

  async run(): Promise<HistoryReport> {
    this.#begin();
    await this.#advance(3000);
    for (let step = 0; step < (this.#options.steps ?? STEPS) && this.#isSound; step += 1) {
      this.#step();
      await this.#advance(this.random.chance(0.04) ? this.random.int(1000, 11_000) : this.random.int(0, 400));
      checkStep(this);
    }
    if (this.#isSound) await this.#heal();
    for (const node of this.nodes) node.kill();
    return { violations: this.witness.violations, seed: this.#options.seed, history: this.#options.history };
  }

  get #isSound(): boolean {
    return this.witness.violations.length === 0;
  }

  #begin(): void {
    const { random } = this;
    this.trace(() => `${JSON.stringify(this.rules)} faults: ${this.#faultKinds.join(' ')}`);
    const nodes = random.int(1, 3);
    for (let index = 0; index < nodes; index += 1) this.#startNode();
    const users = random.int(2, 5);
    for (let userId = 1; userId <= users; userId += 1)
      for (const name of ['a', 'b']) this.devices.push(new Device(userId, `${userId}${name}`, this.#clients));
  }

  async #heal(): Promise<void> {
    this.trace(() => 'HEALING: nothing befalls anybody any more');
    this.#faults.heal();
    this.#clients.leaves = 0;
    for (const node of [...this.nodes]) if (!node.isUp || !node.accepts) this.#replace(node);
    await this.#advance(CALM_MS);
    // Nobody comes any more: the last take-over must be known everywhere.
    for (const device of this.devices) device.returns = false;
    await this.#advance(LAST_NOTICE_MS);
    checkCalm(this);
    if (!this.#isSound) return;
    this.trace(() => 'SILENCE: nobody plays any more');
    for (const device of this.devices) {
      if (device.socket !== undefined) device.socket.pings = false;
    }
    await this.#advance(SILENCE_MS);
    checkHealed(this);
  }

  #advance(ms: number): Promise<void> {
    return this.scheduler.runUntil(this.scheduler.now + ms);
  }

  #startNode(): void {
    this.#incarnations += 1;
    const { scheduler, host, sql, rules, trace, random } = this;
    const world = { scheduler, host, sql, rules, trace };
    const seed = { random: random.int(0, 2 ** 31), skewMs: random.int(-20, 20) };
    const node = new SimulatedNode(`n${this.#incarnations}`, world, seed);
    trace(() => `${node.name} starts`);
    this.nodes.push(node);
    void node.start();
  }

  #replace(node: SimulatedNode): void {
    const index = this.nodes.indexOf(node);
    if (index < 0) return;
    node.kill();
    this.nodes.splice(index, 1);
    this.#startNode();
  }

  #step(): void {
    if (this.random.chance(this.#faultShare)) return this.#faults.strike(this.random.pick(this.#faultKinds));
    const action = this.random.weighted({
      connect: 10,
      quiet: 3,
      play: 4,
      vanish: 2,
      leave: 4,
      logout: 2,
      http: 4,
      end: 2,
    });
    const device = this.random.pick(this.devices);
    const { socket } = device;
    switch (action) {
      case 'connect': {
        const open = this.nodes.filter(({ accepts }) => accepts);
        if (open.length > 0) device.connect(this.random.pick(open));
        return;
      }
      case 'quiet':
      case 'play':
        if (socket !== undefined) socket.pings = action === 'play';
        return;
      case 'vanish':
        return socket?.vanish();
      case 'leave':
        return socket?.leave(this.random.chance(0.5) ? 1000 : 1006);
      case 'logout':
        return socket?.say('{"type":"logout"}');
      case 'http':
        return this.#http(device.userId);
      case 'end':
        return this.#end(device);
    }
  }

  #http(userId: number): void {
    const isLogin = this.random.chance(0.4);
    this.#request(async (node) => {
      const at = this.scheduler.now;
      this.witness.asks(userId, 1);
      if (isLogin) {
        const { ok } = await node.tracker.login({ userId, ip: '' });
        this.trace(() => `HTTP login of ${userId} on ${node.name}: ${ok}`);
        this.witness.asks(userId, -1);
        if (ok) this.witness.loggedIn(node, userId, at);
        return;
      }
      const { ok } = await node.tracker.heartbeat(userId);
      this.witness.asks(userId, -1);
      this.trace(() => `HTTP heartbeat of ${userId} on ${node.name}: ${ok}`);
      if (ok) this.witness.loggedIn(node, userId, at);
    });
  }

  #end({ userId, socket }: Device): void {
    const kind = this.random.pick(['logout', 'kick', 'stale'] as const);
    const reason = kind === 'kick' ? 'kick' : 'logout';
    const epoch = kind === 'stale' ? socket?.connection?.registration.epoch : undefined;
    this.#request(async (node) => {
      const named = epoch === undefined ? {} : { epoch };
      const answer = await node.tracker.logout({ userId, reason, ...named });
      this.trace(
        () => `HTTP ${reason} of ${userId} (epoch ${epoch}) on ${node.name}: ${JSON.stringify(answer)}`,
      );
    });
  }

  #request(work: (node: SimulatedNode) => Promise<void>): void {
    const open = this.nodes.filter(({ accepts }) => accepts);
    if (open.length === 0) return;
    const node = this.random.pick(open);
    const { scheduler } = this;
    const place = { owner: node.clock, phase: Phase.read };
    scheduler.schedule(scheduler.now + this.random.int(1, 5), () => void work(node), place);
  }
}
