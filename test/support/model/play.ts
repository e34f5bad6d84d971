import type { Caller } from '../../../src/presence/rules/lease.ts';
import type { Claim, Loss } from '../../../src/presence/store/port.ts';
import { RedisPresenceStore } from '../../../src/presence/store/redis/store.ts';
import type { PeriodKey } from '../../../src/protocol/periods.ts';
import {
  Dice,
  drawClaim,
  drawEnd,
  drawGroupChange,
  type Known,
  type ModelCommand,
  OF_ANYBODY,
  OF_HOLDERS,
  OF_NO_LEASE,
  PASSED_MS,
  withGroups,
} from './commands.ts';
import { type Edge, edgesOf } from './edges.ts';
import type { ModelSettings } from './expected-redis.ts';
import { lookAt, pageOfGroup } from './looks.ts';
import { inOrder, knownOf, type NodeState, Numbers } from './node-state.ts';
import { COMMAND_MS, isDone, type NamedLink, type Trace, type TwoSidedCall, TwoSides } from './two-sides.ts';

const NODES = ['a', 'b', 'c'];
const USERS = [11, 12, 13, 5];
/** Steps of a long wait in which scripts run, so that all of it is charged and none of it is a stall. */
const STEP_MS = 990;
const STALL_MS = 1000;
/** One call in so many comes late, on an older connection. */
const OLD_CONNECTIONS = [...Array.from({ length: 12 }, () => false), true];
export const USER_COUNT = USERS.length;
export const NODE_COUNT = NODES.length;

/** Plays a history on the scripts and on the rules, and compares answers and everything kept after each command. */
export class ModelPlay {
  readonly #link: NamedLink;
  readonly #settings: ModelSettings;
  readonly #nodes: readonly NodeState[];
  readonly #numbers = new Numbers();
  readonly #sides: TwoSides;
  #runs = 1;
  #run = 'run-1';

  constructor(link: NamedLink, settings: ModelSettings, trace: Trace = () => {}) {
    this.#link = link;
    this.#settings = settings;
    this.#sides = new TwoSides(link, { settings, nodes: NODES, trace });
    this.#nodes = NODES.map((node) => ({
      ...{ node, store: this.#storeOf(node), connection: 1, run: 'run-1', world: undefined, losses: [] },
      ...{ rev: 0, marks: new Map<number, string[]>(), newest: new Map<number, Claim>() },
    }));
  }

  /** Commands after which everything was compared. */
  get compared(): number {
    return this.#sides.compared;
  }

  /** An empty Redis, and all nodes but the last in a world that is grown up. */
  async begin(): Promise<void> {
    await this.#sides.wipe();
    for (const node of this.#nodes.slice(0, 2)) await this.#renew(node, { restored: true });
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
        return this.#claim(node, [this.#draw(command, this.#known(node, userId), dice)], dice);
      case 'crowd': {
        const mode = dice.pick(['socket', 'held', 'nothing', 'restate'] as const);
        return this.#claim(
          node,
          USERS.map((user) => this.#draw({ ...command, operation: mode }, this.#known(node, user), dice)),
          dice,
        );
      }
      case 'repeat':
      case 'stale':
        return this.#repeat(node, userId, { dice, isStale: command.operation === 'stale' });
      case 'record':
        return this.#record(node, userId, dice);
      case 'withdraw':
        return this.#withdraw(node, userId, dice);
      case 'end':
        return this.#end(node, userId, dice);
      case 'group':
        return this.#changeGroup(node, dice);
      case 'renew':
        return this.#drawRenewal(node, dice);
      case 'reap':
        return this.#reap(node, dice);
      case 'unstated':
        return this.#unstated(node, dice);
      case 'read':
      case 'knows':
      case 'nodes':
        return this.#look(node, userId, command.operation);
      case 'take':
        return this.#take(node, dice.pick([10, 1, 2]));
      case 'acknowledge':
        return this.#acknowledge(node, userId, dice);
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
        return this.#befall(command.operation, node, dice);
    }
  }

  /** Mostly somebody who is held, and for what holders state a node that does: others are answered at once. */
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

  async #befall(
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
        // A replica leads, or the server itself that was left for another, or one that lost its newest writes.
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

  /** This run of Redis leads from now on. Most nodes find out at once, and most of them renew. */
  async #return(run: string, dice: Dice): Promise<void> {
    const isOther = run !== this.#run;
    this.#run = run;
    for (const node of this.#nodes) {
      if (isOther && dice.pick([true, true, true, false])) this.#reconnect(node);
      if (dice.pick([true, true, false])) await this.#renew(node, { restored: dice.pick([true, false]) });
    }
  }

  /** A node without a lease mostly renews before anything else. */
  async #haveLease(node: NodeState, dice: Dice): Promise<void> {
    const { world, nodes } = this.#sides.expected.world.leases;
    const hasLease = world?.run === node.run && nodes.get(node.node)?.lease === String(node.connection);
    if (hasLease || dice.pick([false, false, false, false, true])) return;
    if (node.run !== this.#run) this.#reconnect(node);
    await this.#renew(node, { restored: dice.pick([true, true, false]) });
  }

  #reconnect(node: NodeState): void {
    node.connection += 1;
    node.run = this.#run;
  }

  #storeOf(node: string): RedisPresenceStore {
    const lengths = { feedLength: 100_000 };
    return new RedisPresenceStore({
      ...{ ...this.#settings, ...lengths, link: this.#link, node, prefix: '' },
      now: () => this.#sides.now,
    });
  }

  #known(node: NodeState, userId: number): Known {
    return knownOf(node, userId, { sides: this.#sides, numbers: this.#numbers });
  }

  /** Mostly on the node's present connection. */
  #call<Answer>(
    node: NodeState,
    call: Pick<TwoSidedCall<Answer>, 'name' | 'isBetween' | 'isOneScript' | 'redis'> & {
      readonly dice?: Dice;
      readonly rules: (caller: Caller, wall: number) => Answer;
    },
  ): Promise<Answer> {
    const isOld = call.dice?.pick(OLD_CONNECTIONS) ?? false;
    const lease = String(isOld ? Math.max(1, node.connection - 1) : node.connection);
    const caller = { node: node.node, runId: node.run, lease };
    return this.#sides.run({ ...call, caller, rules: (wall) => call.rules(caller, wall) });
  }

  async #claim(node: NodeState, batch: readonly Claim[], dice: Dice): Promise<void> {
    const answers = await this.#call(node, {
      ...{ name: `claim ${JSON.stringify(batch)}`, dice },
      redis: () => node.store.claim(batch),
      rules: (caller, wall) => this.#sides.expected.claim(caller, batch, wall),
    });
    batch.forEach((claim, index) => {
      const { userId, proofMark } = claim;
      const answer = answers[index];
      if (proofMark !== '') node.marks.set(userId, [...(node.marks.get(userId) ?? []), proofMark]);
      node.newest.set(userId, claim);
      if (answer?.kind === 'opened' || answer?.kind === 'joined')
        this.#numbers.add(userId, [answer.period, answer.epoch]);
    });
    // SQL has the row, and the user may be seen.
    const opened = answers.flatMap((answer, index) => {
      const userId = batch[index]?.userId ?? 0;
      return answer.kind === 'opened' ? [{ userId, period: answer.period }] : [];
    });
    if (opened.length > 0 && dice.pick([true, true, false])) await this.#recordAll(node, opened, dice);
  }

  async #repeat(
    node: NodeState,
    userId: number,
    { dice, isStale }: { readonly dice: Dice; readonly isStale: boolean },
  ): Promise<void> {
    const newest = node.newest.get(userId);
    if (newest === undefined) return;
    const rev = newest.rev - (isStale ? dice.pick([1, 2, 3]) : 0);
    const mode = dice.pick([newest.mode, newest.mode, 'state', 'restate'] as const);
    await this.#claim(node, [{ ...newest, rev, mode }], dice);
  }

  async #record(node: NodeState, userId: number, dice: Dice): Promise<void> {
    await this.#recordAll(node, [{ userId, period: this.#period(userId, dice) }], dice);
  }

  async #recordAll(node: NodeState, batch: readonly PeriodKey[], dice: Dice): Promise<void> {
    await this.#call(node, {
      ...{ name: `record ${JSON.stringify(batch)}`, dice },
      redis: () => node.store.record(batch),
      rules: (caller, wall) => this.#sides.expected.record(caller, batch, wall),
    });
  }

  async #withdraw(node: NodeState, userId: number, dice: Dice): Promise<void> {
    const batch = [{ userId, period: this.#period(userId, dice) }];
    await this.#call(node, {
      ...{ name: `withdraw ${JSON.stringify(batch)}`, dice },
      redis: () => isDone(node.store.withdraw(batch)),
      rules: (caller, wall) => this.#sides.expected.withdraw(caller, batch, wall),
    });
  }

  async #end(node: NodeState, userId: number, dice: Dice): Promise<void> {
    const request = drawEnd(this.#known(node, userId), dice);
    await this.#call(node, {
      ...{ name: `end ${JSON.stringify(request)}`, dice },
      redis: () => node.store.end([request]),
      rules: (caller, wall) => this.#sides.expected.end(caller, [request], wall),
    });
  }

  #draw({ operation, groupDice }: ModelCommand, known: Known, dice: Dice): Claim {
    return withGroups(drawClaim(operation, known, dice), known, new Dice(groupDice));
  }

  async #changeGroup(node: NodeState, dice: Dice): Promise<void> {
    const change = drawGroupChange(USERS, dice);
    await this.#call(node, {
      ...{ name: `group ${JSON.stringify(change)}`, dice },
      redis: () => node.store.changeGroup(change),
      rules: (caller, wall) => this.#sides.expected.changeGroup(caller, change, wall),
    });
    const page = pageOfGroup(this.#looker(node), change.group, dice);
    await this.#call(node, { ...page, isOneScript: false, rules: (_, wall) => page.rules(wall) });
  }

  #drawRenewal(node: NodeState, dice: Dice): Promise<void> {
    const { now } = this.#sides;
    const highestEpoch = dice.pick([0, 0, 0, now, now + 1000, now + 100_000]);
    const rev = dice.pick([0, 0, 1, -1]);
    const acknowledged = dice.pick([true, false])
      ? node.losses.map((loss) => ({ ...loss, rev: loss.rev + rev }))
      : [];
    return this.#renew(node, { restored: dice.pick([true, true, false]), highestEpoch, acknowledged, dice });
  }

  async #renew(
    node: NodeState,
    asked: {
      readonly restored: boolean;
      readonly highestEpoch?: number;
      readonly acknowledged?: readonly Loss[];
      readonly dice?: Dice;
      /** One of many while time passes: its answer is compared, the state with the next command. */
      readonly isBetween?: boolean;
    },
  ): Promise<void> {
    const { restored, highestEpoch = 0, acknowledged = [], dice, isBetween = false } = asked;
    const request = { highestEpoch, restored, acknowledged };
    const answer = await this.#call(node, {
      ...{ name: `renew ${JSON.stringify(request)}`, isBetween, ...(dice === undefined ? {} : { dice }) },
      redis: async () => {
        try {
          return inOrder(await node.store.renew(request));
        } catch {
          // Refused: a newer connection of the node has renewed.
          return undefined;
        }
      },
      rules: (caller, wall) => {
        const renewed = this.#sides.expected.renew(caller, { ...request, world: node.world }, wall);
        return renewed && inOrder(renewed);
      },
    });
    if (answer === undefined) return;
    node.world = answer.world;
    node.losses = answer.losses;
  }

  async #reap(node: NodeState, dice: Dice): Promise<void> {
    const limit = dice.pick([500, 500, 1, 2]);
    await this.#call(node, {
      ...{ name: `reap ${limit}`, dice },
      redis: () => node.store.reap(limit),
      rules: (caller, wall) => this.#sides.expected.reap(caller, limit, wall),
    });
  }

  async #unstated(node: NodeState, dice: Dice): Promise<void> {
    const rev = node.rev - dice.pick([0, 1, 5]);
    const sorted = (users: readonly number[]): readonly number[] =>
      [...users].sort((left, right) => left - right);
    await this.#call(node, {
      ...{ name: `unstated ${rev}`, dice },
      redis: async () => sorted(await node.store.unstated(rev)),
      rules: (caller, wall) => sorted(this.#sides.expected.unstated(caller, rev, wall)),
    });
  }

  async #look(node: NodeState, userId: number, what: 'read' | 'knows' | 'nodes'): Promise<void> {
    const rows = this.#numbers.of(userId).map((period) => ({ userId, period }));
    const look = lookAt(this.#looker(node), what, rows.slice(-5));
    await this.#call(node, { ...look, rules: (_, wall) => look.rules(wall) });
  }

  #looker({ node, store }: NodeState): Parameters<typeof lookAt>[0] {
    return { node, store, expected: this.#sides.expected, users: USERS };
  }

  /** By a store that has taken nothing yet: it is given what the node has in hand as well. */
  async #take(node: NodeState, limit: number): Promise<void> {
    await this.#call(node, {
      ...{ name: `take ${limit}`, isOneScript: false },
      redis: () => this.#storeOf(node.node).takeDuties(limit),
      rules: () => this.#sides.expected.take(node.node, limit).map((duty) => this.#sides.named(duty)),
    });
  }

  async #acknowledge(node: NodeState, userId: number, dice: Dice): Promise<void> {
    const waiting = this.#sides.duties;
    const duty = dice.pick([waiting[0], waiting[0], waiting.at(-1), ...waiting]);
    if (duty === undefined) return;
    const other = { ...duty, userId, period: this.#period(userId, dice) };
    const acknowledged = dice.pick([duty, duty, duty, other, { ...duty, id: '1-1' }]);
    await this.#call(node, {
      name: `acknowledge ${JSON.stringify(acknowledged)}`,
      redis: async () => node.store.ackDuties([acknowledged]),
      rules: (_, wall) => this.#sides.expected.acknowledge(this.#sides.unnamed(acknowledged), wall),
    });
  }

  #period(userId: number, dice: Dice): number {
    const present = this.#sides.expected.world.records.get(userId)?.period ?? 0;
    return dice.pick([present, present, present, ...this.#numbers.of(userId).slice(-3), 7]);
  }

  /** Goes to a moment at which something is over, or to just before or after it. */
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
    // Mostly by what goes by the moment.
    const next = dice.pick(userId === undefined ? ['reap', 'nodes'] : ['socket', 'reap', 'http', 'nothing']);
    if (next === 'reap') await this.#reap(node, dice);
    else if (next === 'socket' || next === 'http')
      await this.#claim(node, [drawClaim(next, this.#known(node, userId ?? 0), dice)], dice);
    else if (next === 'nodes') await this.#look(node, 0, 'nodes');
  }

  /** Some nodes are silent for a while, and mostly the others look for dead ones then. */
  async #live(dice: Dice): Promise<void> {
    const living = dice.pick([[0], [1], [0, 1], [2]]);
    await this.#wait(dice.pick([11_000, 3000, 3000, 11_000, 10_999, 20_000]), living);
    const node = this.#nodes[living[0] ?? 0];
    if (node !== undefined && dice.pick([true, true, false])) await this.#reap(node, dice);
  }

  /** Lets all of the time be charged: some nodes go on renewing. */
  async #wait(ms: number, living: readonly number[]): Promise<void> {
    const until = this.#sides.now + ms;
    while (until - this.#sides.now >= STALL_MS) {
      this.#sides.now += STEP_MS;
      for (const index of living) {
        const node = this.#nodes[index];
        if (node !== undefined && this.#sides.now + COMMAND_MS <= until)
          await this.#renew(node, { restored: true });
      }
    }
    this.#sides.now = Math.max(this.#sides.now, until);
  }
}
