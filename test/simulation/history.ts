import type { BrokenPorts } from './broken-ports.ts';
import { checkStep } from './checks.ts';
import type { Device } from './client.ts';
import { Deployment } from './deployment.ts';
import { FAULTS, type Fault } from './faults.ts';
import type { Mutation } from './mutation.ts';
import { Random } from './random.ts';
import type { ScriptRunner } from './script-runner.ts';
import { inOwnTurn } from './settle-promises.ts';
import type { Rules, SimulatedNode } from './simulated-node.ts';

export interface HistoryOptions {
  readonly seed: number;
  readonly history: number;
  readonly mutation?: Mutation;
  /** The broken ports of its nodes. */
  readonly broken?: BrokenPorts;
  /** Collects a line for each event. */
  readonly trace?: string[];
  readonly steps?: number;
  /** A real Redis with the shipped scripts. */
  readonly runner?: ScriptRunner | undefined;
  /** The faults of the history. Undefined: chance chooses them. */
  readonly faults?: readonly Fault[];
}

export interface HistoryReport {
  readonly violations: readonly string[];
  readonly seed: number;
  readonly history: number;
}

const STEPS = 150;
/** The number of steps between two looks at everything that a real Redis stores. */
const COMPARE_EVERY = 10;
const START_MS = 3000;
const PACES = [
  { maxMs: 50, longShare: 0.03, moreUsers: 3 },
  { maxMs: 150, longShare: 0.03, moreUsers: 1 },
  { maxMs: 400, longShare: 0.03, moreUsers: 0 },
  { maxMs: 100, longShare: 0.06, moreUsers: 0 },
];
const POLICIES = [...times(6, 'replace'), ...times(2, 'reject'), ...times(2, 'multi')];
/** An action appears as often as its share among all actions. */
const ACTIONS = [
  ...times(10, 'connect'),
  ...times(3, 'quiet'),
  ...times(4, 'play'),
  ...times(2, 'vanish'),
  ...times(4, 'leave'),
  ...times(2, 'logout'),
  ...times(4, 'http'),
  ...times(2, 'end'),
  ...times(3, 'group'),
];
/** The groups of a token, as one text. */
const TOKENS = ['', '', '', 't1', 'g1;t1'];
/** One more than a user may be in. */
const GROUPS = ['g1', 'g2', 'g3', 'g4'];
/** Share of histories without faults. They need no tolerance. */
const UNDISTURBED_SHARE = 0.1;
/** Share of histories that revoke tokens, and the share of steps that do so. */
const REVOKING_SHARE = 0.1;
const REVOCATION_SHARE = 0.05;

/** One random history of a deployment, from its start until all users have left and everything must be settled. */
export class History {
  readonly #options: HistoryOptions;
  readonly #random: Random;
  readonly #revoking: Random;
  readonly #deployment: Deployment;
  readonly #faultKinds: readonly Fault[];
  readonly #faultShare: number;
  /** Quick steps meet the effects of earlier ones. Slow steps meet deadlines. */
  readonly #pace: (typeof PACES)[number];

  constructor(options: HistoryOptions) {
    const { seed, history, mutation, broken, trace, runner } = options;
    this.#options = options;
    const random = new Random(Math.imul(seed, 0x9e3779b1) ^ Math.imul(history + 1, 0x85ebca6b));
    this.#random = random;
    // Revocations have their own random numbers, so histories without them stay the same.
    const revoking = new Random(Math.imul(seed, 0x27d4eb2f) ^ Math.imul(history + 1, 0x165667b1));
    this.#revoking = revoking;
    const revokes = broken?.revocations !== undefined || revoking.chance(REVOKING_SHARE);
    const rules: Rules = {
      revokes,
      policy: random.pick(POLICIES),
      loginResetsTime: random.chance(0.5),
      lastSeenTtlMs: random.pick([86_400_000, 86_400_000, 5000, 0]),
    };
    this.#pace = random.pick(PACES);
    const isUndisturbed = random.chance(UNDISTURBED_SHARE);
    const kinds = FAULTS.filter(() => random.chance(0.35));
    const faults = options.faults ?? (isUndisturbed ? [] : kinds);
    this.#faultKinds = faults;
    this.#faultShare = faults.length === 0 ? 0 : random.pick([0.02, 0.05, 0.12]);
    const leaves = random.pick([0, 0, 0.05]);
    this.#deployment = new Deployment({ random, rules, faults, mutation, broken, trace, leaves, runner });
  }

  run(): Promise<HistoryReport> {
    return inOwnTurn(() => this.#play());
  }

  #play(): HistoryReport {
    const { seed, history, steps = STEPS } = this.#options;
    const deployment = this.#deployment;
    this.#begin();
    deployment.advance(START_MS);
    for (let step = 0; step < steps && deployment.isSound; step += 1) {
      this.#step();
      if (deployment.rules.revokes === true && this.#revoking.chance(REVOCATION_SHARE)) this.#revoke();
      deployment.advance(this.#pause());
      checkStep(deployment);
      deployment.groups.check();
      deployment.strict.check();
      deployment.revocations.check();
      if (step % COMPARE_EVERY === 0) deployment.compareStores();
    }
    if (deployment.isSound) deployment.heal();
    deployment.compareStores();
    deployment.end();
    return { violations: deployment.witness.violations, seed, history };
  }

  #begin(): void {
    const deployment = this.#deployment;
    const random = this.#random;
    deployment.trace(() => `${JSON.stringify(deployment.rules)} faults: ${this.#faultKinds.join(' ')}`);
    const nodes = random.int(1, 3);
    for (let index = 0; index < nodes; index += 1) deployment.startNode();
    const users = random.int(2, 4) + this.#pace.moreUsers;
    for (let userId = 1; userId <= users; userId += 1)
      for (const name of ['a', 'b']) this.#addDevice(userId, name);
  }

  #addDevice(userId: number, name: string): void {
    const device = this.#deployment.addDevice(userId, name);
    device.protocol = this.#random.chance(0.7) ? 'lingxi.v1' : 'seed';
    device.renewsToken = this.#revoking.chance(0.7);
    device.groups = this.#random.pick(TOKENS);
  }

  #pause(): number {
    const random = this.#random;
    return random.chance(this.#pace.longShare) ? random.int(1000, 11_000) : random.int(0, this.#pace.maxMs);
  }

  #step(): void {
    const random = this.#random;
    const { faults, devices, nodes } = this.#deployment;
    if (random.chance(this.#faultShare)) return faults.strike(random.pick(this.#faultKinds));
    const action = random.pick(ACTIONS);
    const device = random.pick(devices);
    const { socket } = device;
    switch (action) {
      case 'connect': {
        const open = nodes.filter(({ accepts }) => accepts);
        if (open.length > 0) device.connect(random.pick(open));
        return;
      }
      case 'quiet':
      case 'play':
        if (socket !== undefined) socket.pings = action === 'play';
        return;
      case 'vanish':
        return socket?.vanish();
      case 'leave':
        return socket?.leave(random.chance(0.5) ? 1000 : 1006);
      case 'logout':
        return socket?.say('{"type":"logout"}');
      case 'http':
        return this.#http(device.userId);
      case 'end':
        return this.#end(device);
      case 'group':
        return this.#group(device);
    }
  }

  #http(userId: number): void {
    const isLogin = this.#random.chance(0.4);
    this.#request(async (node) => void (await this.#deployment.proveByHttp(node, userId, isLogin)));
  }

  #revoke(): void {
    const { scheduler, nodes, devices, revocations, trace } = this.#deployment;
    const open = nodes.filter(({ accepts }) => accepts);
    if (open.length === 0) return;
    const node = this.#revoking.pick(open);
    const { userId } = this.#revoking.pick(devices);
    const ask = async (): Promise<void> => {
      const answer = await node.revocations?.revoke(userId);
      trace(() => `tokens of ${userId} are revoked on ${node.name}: ${JSON.stringify(answer)}`);
      if (answer?.isKept === true) revocations.kept({ userId, at: answer.at });
    };
    scheduler.schedule(scheduler.now + this.#revoking.int(1, 5), () => void ask(), node.clock);
  }

  #end({ userId, socket }: Device): void {
    const kind = this.#random.pick(['logout', 'kick', 'stale'] as const);
    const reason = kind === 'kick' ? 'kick' : 'logout';
    const epoch = kind === 'stale' ? socket?.connection?.registration.epoch : undefined;
    this.#request(async (node) => {
      const named = epoch === undefined ? {} : { epoch };
      if (epoch === undefined) this.#deployment.witness.asksForAnyEnd(userId, 1);
      const answer = await node.tracker.logout({ userId, reason, ...named });
      if (epoch === undefined) this.#deployment.witness.asksForAnyEnd(userId, -1);
      this.#deployment.trace(
        () => `HTTP ${reason} of ${userId} (epoch ${epoch}) on ${node.name}: ${JSON.stringify(answer)}`,
      );
    });
  }

  #group({ userId }: Device): void {
    const [group, isAdded] = [this.#random.pick(GROUPS), this.#random.chance(0.7)];
    const request = { group, add: isAdded ? [userId] : [], remove: isAdded ? [] : [userId] };
    this.#request(async (node) => {
      const answer = await node.tracker.changeGroup(request);
      this.#deployment.trace(() => `${JSON.stringify(request)} on ${node.name}: ${JSON.stringify(answer)}`);
    });
  }

  #request(work: (node: SimulatedNode) => Promise<void>): void {
    const { scheduler, nodes } = this.#deployment;
    const open = nodes.filter(({ accepts }) => accepts);
    if (open.length === 0) return;
    const node = this.#random.pick(open);
    scheduler.schedule(scheduler.now + this.#random.int(1, 5), () => void work(node), node.clock);
  }
}

function times<const Name extends string>(count: number, name: Name): readonly Name[] {
  return Array.from({ length: count }, () => name);
}
