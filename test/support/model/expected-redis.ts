import type { NodeSighting } from '../../../src/cluster/node-directory.ts';
import type { PresenceChange } from '../../../src/presence/api.ts';
import type { PresenceWorld } from '../../../src/presence/rules/claims.ts';
import { groupsOf } from '../../../src/presence/rules/groups.ts';
import type { Caller } from '../../../src/presence/rules/lease.ts';
import { isOnline, newestProof } from '../../../src/presence/rules/record.ts';
import type { WorldRules } from '../../../src/presence/rules/session-policy.ts';
import type {
  Claim,
  ClaimAnswer,
  EndAnswer,
  EndRequest,
  GroupAnswer,
  GroupChange,
  GroupPage,
  ReapAnswer,
  RenewAnswer,
  RenewRequest,
  UserRecord,
} from '../../../src/presence/store/port.ts';
import type { Duty, PeriodKey } from '../../../src/protocol/periods.ts';
import { wallAt } from '../../simulation/scheduler.ts';
import { SimulatedRedis } from '../../simulation/simulated-redis.ts';

export interface ModelSettings extends WorldRules {
  readonly timelineTtlMs: number;
  readonly deadAfterMs: number;
  /** The age of the world when the history begins. From 2,500 on nobody has to wait. */
  readonly youngMs: number;
}

/** `player:online:<id>` as the Go server that Lingxi replaces wrote it. */
export interface Mirror {
  readonly loginTime: number;
  readonly lastHeartbeat: number;
  readonly ip: string;
  /** Undefined while the user is online. */
  readonly logoutTime: number | undefined;
}

/** A key with an expiry: Redis removes it after this wall-clock time. */
export interface Expiring<Content> {
  readonly content: Content;
  readonly deadline: number;
}

const MIRROR_TTL_MS = 60_000;
const TIMELINE_LENGTH = 100;
const NONE = Number.NEGATIVE_INFINITY;

/**
 * What Redis must answer and store. This is the Redis of the simulator, plus what the simulator omits because no script reads it:
 * the mirror, the timelines and the feed. It follows the rules, not the scripts.
 */
export class ExpectedRedis {
  readonly mirrors = new Map<number, Expiring<Mirror>>();
  readonly timelines = new Map<number, Expiring<readonly PresenceChange[]>>();
  readonly feed: PresenceChange[] = [];
  readonly settings: ModelSettings;
  readonly #time = { now: 0 };
  readonly #twin: SimulatedRedis;
  /** How many changes of the twin the timelines and the feed have. */
  #told = 0;

  constructor(settings: ModelSettings) {
    this.settings = settings;
    this.#twin = new SimulatedRedis({
      ...{ scheduler: this.#time, rules: settings, mutation: {}, keepsChanges: true },
      deadAfterMs: settings.deadAfterMs,
      events: {
        ...{ minted: nothing, claimed: nothing, withdrawn: nothing, endAsked: nothing },
        ended: (duty) => this.#ended(duty),
      },
    });
  }

  get world(): PresenceWorld {
    return this.#twin.world;
  }

  /** Duties without a settlement, oldest first. */
  get duties(): readonly Duty[] {
    return this.#twin.duties.all;
  }

  /** The node that has taken a duty. */
  holderOf(duty: Duty, nodes: readonly string[]): string | undefined {
    return nodes.find((node) => this.#twin.duties.heldBy(node).some(({ id }) => id === duty.id));
  }

  renew(
    caller: Caller,
    request: RenewRequest & { readonly world: string | undefined },
    wall: number,
  ): RenewAnswer | undefined {
    return this.#at(wall, () => this.#twin.renew(caller, request, request.world));
  }

  claim(caller: Caller, batch: readonly Claim[], wall: number): readonly ClaimAnswer[] {
    return this.#at(wall, () => {
      const before = batch.map(({ userId }) => this.#newestRev(caller.node, userId));
      const answers = this.#twin.claim(caller, batch);
      batch.forEach(({ userId, rev }, index) => {
        // A repeated claim gets its earlier answer, and nothing is written.
        if (rev > (before[index] ?? NONE) && isAccepted(answers[index])) this.#mirror(userId);
      });
      return answers;
    });
  }

  record(caller: Caller, batch: readonly PeriodKey[], wall: number): readonly boolean[] {
    return this.#at(wall, () => {
      const held = this.#twin.record(caller, batch);
      batch.forEach(({ userId }, index) => {
        if (held[index] === true) this.#mirror(userId);
      });
      return held;
    });
  }

  /** False if Redis refuses the call. */
  withdraw(caller: Caller, batch: readonly PeriodKey[], wall: number): boolean {
    return this.#at(wall, () => this.#twin.withdraw(caller, batch) === 0);
  }

  end(caller: Caller, batch: readonly EndRequest[], wall: number): readonly EndAnswer[] {
    return this.#at(wall, () => this.#twin.end(caller, batch));
  }

  changeGroup(caller: Caller, change: GroupChange, wall: number): readonly GroupAnswer[] {
    return this.#at(wall, () => this.#twin.changeGroup(caller, change));
  }

  /** A full page has a cursor, even if the next page is empty. */
  groupPage({
    group,
    limit,
    cursor,
  }: {
    group: string;
    limit: number;
    cursor: string | undefined;
  }): GroupPage {
    const members = [...this.world.records.values()].filter((record) => groupsOf(record).has(group));
    const ids = members.map(({ userId }) => userId).sort((left, right) => left - right);
    const userIds = ids.filter((userId) => userId > Number(cursor ?? -1)).slice(0, limit);
    return {
      online: ids.length,
      userIds,
      cursor: userIds.length === limit ? String(userIds.at(-1)) : undefined,
    };
  }

  reap(caller: Caller, limit: number, wall: number): ReapAnswer {
    return this.#at(wall, () => {
      this.#sortRecords();
      const behind = this.#behindLimit(caller.node, limit);
      const kept = behind.map((hold) => ({ hold, httpUntil: hold.httpUntil }));
      for (const hold of behind) hold.httpUntil = Number.POSITIVE_INFINITY;
      const answer = this.#twin.reap(caller, Number.MAX_SAFE_INTEGER);
      for (const { hold, httpUntil } of kept) hold.httpUntil = httpUntil;
      return answer;
    });
  }

  unstated(caller: Caller, rev: number, wall: number): readonly number[] {
    return this.#at(wall, () => this.#twin.unstated(caller, rev));
  }

  read(node: string, userIds: readonly number[], wall: number): readonly (UserRecord | undefined)[] {
    return this.#at(wall, () => this.#twin.read(node, userIds));
  }

  knows(rows: readonly PeriodKey[], wall: number): readonly boolean[] {
    return this.#at(wall, () => this.#twin.knows(rows));
  }

  sightings(wall: number): readonly NodeSighting[] {
    const sightings = this.#at(wall, () => this.#twin.nodes());
    return sightings.map(({ node, silentMs, sign, users }) => {
      return { node, silentMs, sign: sign === undefined ? undefined : String(sign), users };
    });
  }

  /** The duties that the node has already taken, then those that no node has taken. */
  take(node: string, limit: number): readonly Duty[] {
    // Only real time makes a duty abandoned, and the link of the test takes that away.
    const inHand = this.#twin.duties.heldBy(node).slice(0, limit);
    return [...inHand, ...this.#twin.duties.take(node, limit, 0)];
  }

  acknowledge(duty: Duty, wall: number): void {
    this.#at(wall, () => this.#twin.acknowledge([duty]));
  }

  /** Removes what has expired at this wall-clock time. */
  expire(wall: number): void {
    for (const [userId, { deadline }] of this.mirrors) if (wall > deadline) this.mirrors.delete(userId);
    for (const [userId, { deadline }] of this.timelines) if (wall > deadline) this.timelines.delete(userId);
    for (const userId of [...this.world.records.keys()]) this.world.recordOf(userId, wall);
    for (const [node] of [...this.world.losses]) this.world.losses.expire(node, wall);
    this.world.endings.expire(wall);
  }

  /** Returns a function that restores this state. It may be called more than once. */
  snapshot(): () => void {
    const bringBack = this.#twin.snapshot();
    const [mirrors, timelines, feed, told] = [
      ...[new Map(this.mirrors), new Map(this.timelines), [...this.feed]],
      this.#told,
    ] as const;
    return () => {
      bringBack();
      replaceBy(this.mirrors, mirrors);
      replaceBy(this.timelines, timelines);
      this.feed.splice(0, this.feed.length, ...feed);
      this.#told = told;
    };
  }

  wipe(): void {
    this.#twin.wipe();
    this.mirrors.clear();
    this.timelines.clear();
    this.feed.length = 0;
    this.#told = 0;
  }

  #at<Answer>(wall: number, run: () => Answer): Answer {
    this.#time.now = wall - wallAt(0, 0);
    const answer = run();
    for (const change of this.#twin.changes.slice(this.#told)) this.#tell(change);
    this.#told = this.#twin.changes.length;
    return answer;
  }

  #newestRev(node: string, userId: number): number {
    const { losses } = this.world;
    const held = this.world.recordOf(userId, this.#twin.wall)?.holds.get(node);
    return Math.max(held?.rev ?? NONE, losses.get(node)?.get(userId)?.rev ?? NONE);
  }

  /** Holds of dead nodes that a look does not reach. A look reads small sets whole, and the limit counts after that. */
  #behindLimit(asking: string, limit: number): { httpUntil: number }[] {
    const { leases, records } = this.world;
    const { observed } = leases.momentAt(this.#twin.wall);
    const isDying = (node: string, seen: number): boolean =>
      node !== asking && observed - seen >= this.settings.deadAfterMs;
    const dying = [...leases.nodes].filter(([node, { seen }]) => isDying(node, seen));
    let left = limit;
    const behind: { httpUntil: number }[] = [];
    for (const node of [...leases.dead, ...dying.map(([dead]) => dead)]) {
      const users = this.world.heldBy(node);
      const holds = users.map((userId) => records.get(userId)?.holds.get(node));
      if (left <= 0) behind.push(...holds.filter((hold) => hold !== undefined));
      else left -= users.length;
    }
    return behind;
  }

  /** Redis reads a small set of numbers in ascending order. */
  #sortRecords(): void {
    const sorted = [...this.world.records].sort(([left], [right]) => left - right);
    replaceBy(this.world.records, new Map(sorted));
  }

  #mirror(userId: number): void {
    const record = this.world.records.get(userId);
    if (!isOnline(record)) return;
    const { loginTime, ip } = record;
    const content = { loginTime, lastHeartbeat: newestProof(record), ip, logoutTime: undefined };
    this.mirrors.set(userId, { content, deadline: this.#twin.wall + MIRROR_TTL_MS });
  }

  #ended({ userId, loginAt, lastSeenAt, logoutAt }: Omit<Duty, 'id'>): void {
    const ip = this.world.records.get(userId)?.ip ?? '';
    const content = { loginTime: loginAt, lastHeartbeat: lastSeenAt, ip, logoutTime: logoutAt };
    const { lastSeenTtlMs } = this.settings;
    if (lastSeenTtlMs === 0) this.mirrors.delete(userId);
    else this.mirrors.set(userId, { content, deadline: this.#twin.wall + lastSeenTtlMs });
  }

  #tell(change: PresenceChange): void {
    const { userId, event } = change;
    const content = [...(this.timelines.get(userId)?.content ?? []), change].slice(-TIMELINE_LENGTH);
    this.timelines.set(userId, { content, deadline: this.#twin.wall + this.settings.timelineTtlMs });
    if (event === 'online' || event === 'offline') this.feed.push(change);
  }
}

function isAccepted(answer: ClaimAnswer | undefined): boolean {
  return answer?.kind === 'held' || answer?.kind === 'opened' || answer?.kind === 'joined';
}

function replaceBy<Key, Value>(map: Map<Key, Value>, other: ReadonlyMap<Key, Value>): void {
  map.clear();
  for (const [key, value] of other) map.set(key, value);
}

function nothing(): void {}
