import { groupsOf, versionOf } from '../../src/presence/rules/groups.ts';
import { isOnline, type RecordState } from '../../src/presence/rules/record.ts';
import type { Device } from './client.ts';
import type { Scheduler } from './scheduler.ts';
import type { SimulatedNode } from './simulated-node.ts';
import type { SimulatedRedis } from './simulated-redis.ts';
import { REPEATED_WITHIN_MS } from './troubles.ts';
import type { Witness } from './witness.ts';

/** Within this time a node repeats its claim for a user, and then receives any changes. */
const HEARD_WITHIN_MS = 6000;
/** A node in trouble this long before a loss of data may not repeat what it knows. */
const TROUBLE_MS = 5000;

interface Known {
  readonly period: number;
  readonly version: number;
  readonly text: string;
  readonly at: number;
  /** The nodes that knew it when Redis last lost its data. Undefined: Redis has lost nothing since. */
  readonly knowers: readonly SimulatedNode[] | undefined;
  /** The period has ended since. */
  readonly isOver?: boolean;
}

interface GroupWorld {
  readonly scheduler: Pick<Scheduler, 'now'>;
  readonly redis: () => SimulatedRedis;
  readonly witness: Witness;
  readonly nodes: () => readonly SimulatedNode[];
  readonly devices: readonly Device[];
}

/** Knows the groups that the service set, and compares Redis and the nodes with them (rule GR1). */
export class GroupWitness {
  readonly #world: GroupWorld;
  /** For each user, the newest groups from the service that Redis accepted. */
  readonly #given = new Map<number, Known>();
  /** For each user, when a node last brought groups back that Redis had lost. */
  readonly #returnedAt = new Map<number, number>();

  constructor(world: GroupWorld) {
    this.#world = world;
  }

  /** Redis accepted a change. */
  changed(userId: number): void {
    const record = this.#world.redis().world.records.get(userId);
    if (record !== undefined) this.#given.set(userId, this.#knownOf(record));
  }

  /** A node brought newer groups back. The other nodes receive no notice of it (bound `late-groups`). */
  returned(userId: number): void {
    this.#returnedAt.set(userId, this.#world.scheduler.now);
  }

  /** Redis ended a period. */
  ended({ userId, period }: { readonly userId: number; readonly period: number }): void {
    const known = this.#given.get(userId);
    if (known?.period === period) this.#given.set(userId, { ...known, isOver: true });
  }

  /** Redis is about to lose everything, or everything newer than a snapshot. */
  forgot(): void {
    const nodes = this.#world.nodes().filter(({ isUp }) => isUp);
    for (const [userId, known] of this.#given) {
      const knowers = nodes.filter(
        ({ tracker }) =>
          tracker.periodHere(userId) === known.period &&
          versionOf(tracker.groupsHere(userId)) >= known.version,
      );
      this.#given.set(userId, { ...known, knowers });
    }
  }

  /** What must be true at every moment: Redis has the groups that it accepted, unless no node could restore them. */
  check(): void {
    for (const record of this.#world.redis().world.records.values()) {
      const known = this.#given.get(record.userId);
      if (!isOnline(record) || known?.period !== record.period) this.#checkNew(record);
      else if (versionOf(record.groups) < known.version) this.#judgeLoss(record, known);
      else if (versionOf(record.groups) > known.version)
        this.#given.set(record.userId, this.#knownOf(record));
      else if (record.groups !== known.text) this.#violated(record, `has ${record.groups} for ${known.text}`);
    }
  }

  /** After a calm time each node knows the groups of its players, and Redis knows the groups of their tokens. */
  checkCalm(): void {
    const { devices, redis, witness, scheduler } = this.#world;
    for (const { userId, socket, groups } of devices) {
      const record = redis().world.records.get(userId);
      if (socket?.isOpen !== true || !socket.pings || socket.connection?.isOpen !== true || !isOnline(record))
        continue;
      const { node } = socket;
      for (const name of groups === '' ? [] : groups.split(';'))
        if (!groupsOf(record).has(name))
          this.#violated(record, `plays by a token of ${name} and is no member`);
      const changedAt = this.#given.get(userId)?.at ?? Number.NEGATIVE_INFINITY;
      const newestAt = Math.max(changedAt, this.#returnedAt.get(userId) ?? Number.NEGATIVE_INFINITY);
      const isFresh = scheduler.now - newestAt < HEARD_WITHIN_MS;
      const isDisturbed =
        scheduler.now - Math.max(witness.lostMemoryAt, node.troubledUntil) < HEARD_WITHIN_MS;
      if (isFresh || isDisturbed || !record.holds.has(node.name)) continue;
      const here = node.tracker.groupsHere(userId);
      if (here !== record.groups)
        this.#violated(record, `has ${record.groups}, and ${node.name} knows ${here}`);
    }
    for (const record of redis().world.records.values())
      for (const [node, { sockets, tokenGroups }] of record.holds)
        if (sockets === 0 && tokenGroups !== '')
          this.#violated(record, `has ${tokenGroups} by a token without a socket on ${node}`);
  }

  /** A period without a change has no groups. A period that an older snapshot brought back may have some. */
  #checkNew(record: RecordState): void {
    const { groups } = record;
    if (groups === '') return;
    const isOn: boolean = isOnline(record);
    if (!isOn) this.#violated(record, `is offline and has ${groups}`);
    else if (this.#world.witness.lostMemoryAt < 0)
      this.#violated(record, `has ${groups} without a change in this period`);
  }

  #judgeLoss(record: RecordState, known: Known): void {
    const { witness, scheduler } = this.#world;
    const { now } = scheduler;
    const lost = witness.lostMemoryAt;
    // The node that brings the period back may know older groups (bound `old-groups`).
    if (known.isOver === true) return void this.#given.set(record.userId, this.#knownOf(record));
    if (known.knowers !== undefined && now < witness.returnedAt + REPEATED_WITHIN_MS) return;
    const mayRestore = (node: SimulatedNode): boolean =>
      node.isUp &&
      ![node.troubles, node.frozen, node.badLine, witness.redisTroubles].some((spells) =>
        spells === witness.redisTroubles
          ? spells.touches(witness.returnedAt + 1, now)
          : spells.touches(lost - TROUBLE_MS, now),
      ) &&
      node.tracker.periodHere(record.userId) === known.period;
    if (known.knowers === undefined || known.knowers.some(mayRestore))
      this.#violated(record, `has ${record.groups} and had ${known.text}`);
    // No living node knew it, or none could report it in time.
    this.#given.set(record.userId, this.#knownOf(record));
  }

  #knownOf({ period, groups: text }: RecordState): Known {
    return { period, version: versionOf(text), text, at: this.#world.scheduler.now, knowers: undefined };
  }

  #violated({ userId, period }: RecordState, what: string): void {
    this.#world.witness.violated(`[GR1] ${userId}:${period} ${what}`);
  }
}
