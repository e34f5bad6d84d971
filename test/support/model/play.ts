import type { Claim } from '../../../src/presence/store/port.ts';
import {
  Dice,
  drawClaim,
  type ModelCommand,
  OF_ANYBODY,
  OF_HOLDERS,
  OF_NO_LEASE,
  PASSED_MS,
} from './commands.ts';
import { type Edge, edgesOf } from './edges.ts';
import type { ModelSettings } from './expected-redis.ts';
import { NodeCommands } from './node-commands.ts';
import type { NodeState } from './node-state.ts';
import { COMMAND_MS, type NamedLink, type Trace, TwoSides } from './two-sides.ts';

const NODES = ['a', 'b', 'c'];
const USERS = [11, 12, 13, 5];
/** The step of a long wait. Scripts run between the steps, so Redis charges all of the time and sees no stall. */
const STEP_MS = 990;
const STALL_MS = 1000;
export const USER_COUNT = USERS.length;
export const NODE_COUNT = NODES.length;

/** Plays a history on the scripts and on the rules. After each command it compares the answers and the whole state. */
export class ModelPlay {
  readonly #settings: ModelSettings;
  readonly #nodes: readonly NodeState[];
  readonly #sides: TwoSides;
  readonly #commands: NodeCommands;
  #runs = 1;
  #run = 'run-1';

  constructor(link: NamedLink, settings: ModelSettings, trace: Trace = () => {}) {
    this.#settings = settings;
    this.#sides = new TwoSides(link, { settings, nodes: NODES, trace });
    this.#commands = new NodeCommands({ link, settings, sides: this.#sides, users: USERS });
    this.#nodes = NODES.map((node) => ({
      ...{
        node,
        store: this.#commands.storeOf(node),
        connection: 1,
        run: 'run-1',
        world: undefined,
        losses: [],
      },
      ...{ rev: 0, marks: new Map<number, string[]>(), newest: new Map<number, Claim>() },
    }));
  }

  /** The number of commands after which everything was compared. */
  get compared(): number {
    return this.#sides.compared;
  }

  /** Starts with an empty Redis. All nodes but the last are in a world that is no longer young. */
  async begin(): Promise<void> {
    await this.#sides.wipe();
    for (const node of this.#nodes.slice(0, 2)) await this.#commands.renew(node, { restored: true });
    await this.#wait(this.#settings.youngMs, [0, 1]);
  }

  async apply(command: ModelCommand): Promise<void> {
    const dice = new Dice(command.dice);
    const { node, userId } = this.#target(command, dice);
    if (!OF_NO_LEASE.has(command.operation)) await this.#haveLease(node, dice);
    switch (command.operation) {
      case 'socket':
      case 'http':
      case 'beat':
      case 'held':
      case 'linger':
      case 'nothing':
      case 'restate':
        return this.#commands.claim(
          node,
          [this.#commands.draw(command, this.#commands.known(node, userId), dice)],
          dice,
        );
      case 'crowd': {
        const mode = dice.pick(['socket', 'held', 'nothing', 'restate'] as const);
        return this.#commands.claim(
          node,
          USERS.map((user) =>
            this.#commands.draw({ ...command, operation: mode }, this.#commands.known(node, user), dice),
          ),
          dice,
        );
      }
      case 'repeat':
      case 'stale':
        return this.#commands.repeat(node, userId, { dice, isStale: command.operation === 'stale' });
      case 'record':
        return this.#commands.record(node, userId, dice);
      case 'withdraw':
        return this.#commands.withdraw(node, userId, dice);
      case 'end':
        return this.#commands.end(node, userId, dice);
      case 'group':
        return this.#commands.changeGroup(node, dice);
      case 'renew':
        return this.#commands.drawRenewal(node, dice);
      case 'reap':
        return this.#commands.reap(node, dice);
      case 'unstated':
        return this.#commands.unstated(node, dice);
      case 'read':
      case 'knows':
      case 'nodes':
        return this.#commands.look(node, userId, command.operation);
      case 'take':
        return this.#commands.take(node, dice.pick([10, 1, 2]));
      case 'acknowledge':
        return this.#commands.acknowledge(node, userId, dice);
      case 'pass':
      case 'stall':
      case 'back':
      case 'leap':
        this.#sides.now += dice.pick(PASSED_MS[command.operation]);
        return undefined;
      case 'edge':
        return this.#edge(dice);
      case 'live':
        return this.#live(dice);
      case 'wipe':
      case 'keep':
      case 'bringBack':
      case 'restart':
      case 'reconnect':
        return this.#disturb(command.operation, node, dice);
    }
  }

  /** Usually an online user, and for claims of holders a node that holds the user: Redis answers other claims at once. */
  #target({ operation, node, user }: ModelCommand, dice: Dice): { node: NodeState; userId: number } {
    const drawn = { node: this.#nodes[node] as NodeState, userId: USERS[user] ?? 0 };
    const records = [...this.#sides.expected.world.records.values()];
    const opened = records.filter(({ recorded, holds }) => !recorded && holds.size > 0);
    const held = operation === 'record' && opened.length > 0 ? opened : records;
    const pairs = held.flatMap(({ userId, holds }) => [...holds.keys()].map((name) => ({ userId, name })));
    if (pairs.length === 0 || dice.pick([false, false, false, true])) return drawn;
    const { userId, name } = dice.pick(pairs);
    if (!OF_HOLDERS.has(operation))
      return { ...drawn, userId: OF_ANYBODY.has(operation) ? userId : drawn.userId };
    return { node: this.#nodes[NODES.indexOf(name)] as NodeState, userId };
  }

  async #disturb(
    operation: 'wipe' | 'keep' | 'bringBack' | 'restart' | 'reconnect',
    node: NodeState,
    dice: Dice,
  ): Promise<void> {
    this.#sides.trace(`${this.#sides.now} ${operation}`);
    const copy = dice.pick([1, 2]);
    switch (operation) {
      case 'wipe':
        await this.#sides.wipe();
        return this.#return(dice.pick([this.#run, this.#run, this.#nextRun()]), dice);
      case 'keep':
        return this.#sides.keep(copy, this.#run);
      case 'bringBack': {
        const kept = await this.#sides.bringBack(copy);
        if (kept === undefined) return;
        // The new master is a replica, or an earlier server that returns, or the same one without its newest writes.
        const run = dice.pick([this.#nextRun(), this.#nextRun(), kept, this.#run]);
        return this.#return(run, dice);
      }
      case 'restart':
        return this.#return(this.#nextRun(), dice);
      case 'reconnect':
        this.#reconnect(node);
        return;
    }
  }

  #nextRun(): string {
    this.#runs += 1;
    return `run-${this.#runs}`;
  }

  /** This run of Redis is the master from now on. Most nodes notice at once, and most of them renew. */
  async #return(run: string, dice: Dice): Promise<void> {
    const isOther = run !== this.#run;
    this.#run = run;
    for (const node of this.#nodes) {
      if (isOther && dice.pick([true, true, true, false])) this.#reconnect(node);
      if (dice.pick([true, true, false]))
        await this.#commands.renew(node, { restored: dice.pick([true, false]) });
    }
  }

  /** A node without a lease usually renews first. */
  async #haveLease(node: NodeState, dice: Dice): Promise<void> {
    const { world, nodes } = this.#sides.expected.world.leases;
    const hasLease = world?.run === node.run && nodes.get(node.node)?.lease === String(node.connection);
    if (hasLease || dice.pick([false, false, false, false, true])) return;
    if (node.run !== this.#run) this.#reconnect(node);
    await this.#commands.renew(node, { restored: dice.pick([true, true, false]) });
  }

  #reconnect(node: NodeState): void {
    node.connection += 1;
    node.run = this.#run;
  }

  /** Moves time to a moment at which something ends, or to just before or after it. */
  async #edge(dice: Dice): Promise<void> {
    const living = dice.pick([[0], [1], [0, 1]]);
    for (const node of this.#nodes)
      if (living.includes(NODES.indexOf(node.node))) await this.#haveLease(node, dice);
    const { now, expected } = this.#sides;
    const { observed } = expected.world.leases.momentAt(now);
    const isNear = ({ at }: Edge): boolean => at > observed && at < observed + 70_000;
    const ahead = [...edgesOf(expected, now)].filter(isNear).sort((left, right) => left.at - right.at);
    if (ahead.length === 0) return;
    const { at, userId } = dice.pick([...ahead.slice(0, 3), ...ahead.slice(0, 3), dice.pick(ahead)]);
    await this.#wait(at - observed + dice.pick([0, 0, -1, 1]), living);
    const node = this.#nodes[living[0] ?? 0];
    if (node === undefined) return;
    // Usually followed by a call that depends on this moment.
    const next = dice.pick(userId === undefined ? ['reap', 'nodes'] : ['socket', 'reap', 'http', 'nothing']);
    if (next === 'reap') await this.#commands.reap(node, dice);
    else if (next === 'socket' || next === 'http')
      await this.#commands.claim(
        node,
        [drawClaim(next, this.#commands.known(node, userId ?? 0), dice)],
        dice,
      );
    else if (next === 'nodes') await this.#commands.look(node, 0, 'nodes');
  }

  /** Some nodes are silent for a while. Then the others usually look for dead nodes. */
  async #live(dice: Dice): Promise<void> {
    const living = dice.pick([[0], [1], [0, 1], [2]]);
    await this.#wait(dice.pick([11_000, 3000, 3000, 11_000, 10_999, 20_000]), living);
    const node = this.#nodes[living[0] ?? 0];
    if (node !== undefined && dice.pick([true, true, false])) await this.#commands.reap(node, dice);
  }

  /** Lets the time pass so that Redis charges all of it: some nodes keep renewing. */
  async #wait(ms: number, living: readonly number[]): Promise<void> {
    const until = this.#sides.now + ms;
    while (until - this.#sides.now >= STALL_MS) {
      this.#sides.now += STEP_MS;
      for (const index of living) {
        const node = this.#nodes[index];
        if (node !== undefined && this.#sides.now + COMMAND_MS <= until)
          await this.#commands.renew(node, { restored: true });
      }
    }
    this.#sides.now = Math.max(this.#sides.now, until);
  }
}
