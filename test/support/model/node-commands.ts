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
  withGroups,
} from './commands.ts';
import type { ModelSettings } from './expected-redis.ts';
import { lookAt, pageOfGroup } from './looks.ts';
import { inOrder, knownOf, type NodeState, Numbers } from './node-state.ts';
import { isDone, type NamedLink, type TwoSidedCall, type TwoSides } from './two-sides.ts';

/** One call in this many comes late, on an older connection. */
const OLD_CONNECTIONS = [...Array.from({ length: 12 }, () => false), true];

interface NodeCommandsParts {
  readonly link: NamedLink;
  readonly settings: ModelSettings;
  readonly sides: TwoSides;
  readonly users: readonly number[];
}

/** The calls of a node to its store. Each runs on the scripts and on the rules, and the results are compared. */
export class NodeCommands {
  readonly #link: NamedLink;
  readonly #settings: ModelSettings;
  readonly #sides: TwoSides;
  readonly #users: readonly number[];
  readonly #numbers = new Numbers();

  constructor({ link, settings, sides, users }: NodeCommandsParts) {
    this.#link = link;
    this.#settings = settings;
    this.#sides = sides;
    this.#users = users;
  }

  storeOf(node: string): RedisPresenceStore {
    const lengths = { feedLength: 100_000 };
    return new RedisPresenceStore({
      ...{ ...this.#settings, ...lengths, link: this.#link, node, prefix: '' },
      now: () => this.#sides.now,
    });
  }

  known(node: NodeState, userId: number): Known {
    return knownOf(node, userId, { sides: this.#sides, numbers: this.#numbers });
  }

  /** Usually on the node's current connection. */
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

  async claim(node: NodeState, batch: readonly Claim[], dice: Dice): Promise<void> {
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
    // SQL has the row now, so the user may become visible.
    const opened = answers.flatMap((answer, index) => {
      const userId = batch[index]?.userId ?? 0;
      return answer.kind === 'opened' ? [{ userId, period: answer.period }] : [];
    });
    if (opened.length > 0 && dice.pick([true, true, false])) await this.#recordAll(node, opened, dice);
  }

  async repeat(
    node: NodeState,
    userId: number,
    { dice, isStale }: { readonly dice: Dice; readonly isStale: boolean },
  ): Promise<void> {
    const newest = node.newest.get(userId);
    if (newest === undefined) return;
    const rev = newest.rev - (isStale ? dice.pick([1, 2, 3]) : 0);
    const mode = dice.pick([newest.mode, newest.mode, 'state', 'restate'] as const);
    await this.claim(node, [{ ...newest, rev, mode }], dice);
  }

  async record(node: NodeState, userId: number, dice: Dice): Promise<void> {
    await this.#recordAll(node, [{ userId, period: this.#period(userId, dice) }], dice);
  }

  async #recordAll(node: NodeState, batch: readonly PeriodKey[], dice: Dice): Promise<void> {
    await this.#call(node, {
      ...{ name: `record ${JSON.stringify(batch)}`, dice },
      redis: () => node.store.record(batch),
      rules: (caller, wall) => this.#sides.expected.record(caller, batch, wall),
    });
  }

  async withdraw(node: NodeState, userId: number, dice: Dice): Promise<void> {
    const batch = [{ userId, period: this.#period(userId, dice) }];
    await this.#call(node, {
      ...{ name: `withdraw ${JSON.stringify(batch)}`, dice },
      redis: () => isDone(node.store.withdraw(batch)),
      rules: (caller, wall) => this.#sides.expected.withdraw(caller, batch, wall),
    });
  }

  async end(node: NodeState, userId: number, dice: Dice): Promise<void> {
    const request = drawEnd(this.known(node, userId), dice);
    await this.#call(node, {
      ...{ name: `end ${JSON.stringify(request)}`, dice },
      redis: () => node.store.end([request]),
      rules: (caller, wall) => this.#sides.expected.end(caller, [request], wall),
    });
  }

  draw({ operation, groupDice }: ModelCommand, known: Known, dice: Dice): Claim {
    return withGroups(drawClaim(operation, known, dice), known, new Dice(groupDice));
  }

  async changeGroup(node: NodeState, dice: Dice): Promise<void> {
    const change = drawGroupChange(this.#users, dice);
    await this.#call(node, {
      ...{ name: `group ${JSON.stringify(change)}`, dice },
      redis: () => node.store.changeGroup(change),
      rules: (caller, wall) => this.#sides.expected.changeGroup(caller, change, wall),
    });
    const page = pageOfGroup(this.#looker(node), change.group, dice);
    await this.#call(node, { ...page, isOneScript: false, rules: (_, wall) => page.rules(wall) });
  }

  drawRenewal(node: NodeState, dice: Dice): Promise<void> {
    const { now } = this.#sides;
    const highestEpoch = dice.pick([0, 0, 0, now, now + 1000, now + 100_000]);
    const rev = dice.pick([0, 0, 1, -1]);
    const acknowledged = dice.pick([true, false])
      ? node.losses.map((loss) => ({ ...loss, rev: loss.rev + rev }))
      : [];
    return this.renew(node, { restored: dice.pick([true, true, false]), highestEpoch, acknowledged, dice });
  }

  async renew(
    node: NodeState,
    asked: {
      readonly restored: boolean;
      readonly highestEpoch?: number;
      readonly acknowledged?: readonly Loss[];
      readonly dice?: Dice;
      /** One of many calls while time passes. Its answer is compared at once, the state with the next command. */
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
          // Refused, because the node has renewed on a newer connection.
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

  async reap(node: NodeState, dice: Dice): Promise<void> {
    const limit = dice.pick([500, 500, 1, 2]);
    await this.#call(node, {
      ...{ name: `reap ${limit}`, dice },
      redis: () => node.store.reap(limit),
      rules: (caller, wall) => this.#sides.expected.reap(caller, limit, wall),
    });
  }

  async unstated(node: NodeState, dice: Dice): Promise<void> {
    const rev = node.rev - dice.pick([0, 1, 5]);
    const sorted = (users: readonly number[]): readonly number[] =>
      [...users].sort((left, right) => left - right);
    await this.#call(node, {
      ...{ name: `unstated ${rev}`, dice },
      redis: async () => sorted(await node.store.unstated(rev)),
      rules: (caller, wall) => sorted(this.#sides.expected.unstated(caller, rev, wall)),
    });
  }

  async look(node: NodeState, userId: number, what: 'read' | 'knows' | 'nodes'): Promise<void> {
    const rows = this.#numbers.of(userId).map((period) => ({ userId, period }));
    const look = lookAt(this.#looker(node), what, rows.slice(-5));
    await this.#call(node, { ...look, rules: (_, wall) => look.rules(wall) });
  }

  #looker({ node, store }: NodeState): Parameters<typeof lookAt>[0] {
    return { node, store, expected: this.#sides.expected, users: this.#users };
  }

  /** The store has taken nothing yet, so Redis also returns the duties that the node already has. */
  async take(node: NodeState, limit: number): Promise<void> {
    await this.#call(node, {
      ...{ name: `take ${limit}`, isOneScript: false },
      redis: () => this.storeOf(node.node).takeDuties(limit),
      rules: () => this.#sides.expected.take(node.node, limit).map((duty) => this.#sides.named(duty)),
    });
  }

  async acknowledge(node: NodeState, userId: number, dice: Dice): Promise<void> {
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
}
