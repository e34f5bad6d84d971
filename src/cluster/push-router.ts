import type { ConnectionManager } from '../connection/connection-manager.ts';
import { countDelivery, type Outgoing } from '../connection/outgoing.ts';
import { Batcher } from '../lib/batcher.ts';
import type { Clock } from '../lib/clock.ts';
import { ok } from '../lib/result.ts';
import {
  countsOf,
  type Delivery,
  type DeliveryCounts,
  type DropReason,
  type PushReport,
  type PushRequest,
  sumOf,
  unknownDelivery,
} from '../protocol/delivery.ts';
import { GroupPushes } from './group-pushes.ts';
import type { HandedOver, LocalDelivery } from './local-delivery.ts';
import { bestOf, type RemoteDelivery } from './remote-delivery.ts';
import type { Router } from './router.ts';
import type { UserLocator } from './user-locator.ts';

/** Absent users of the push channel that wait for a look at presence. Further ones count as unknown. */
const MAX_WAITING_ABSENT = 10_000;
const LOOK_UP_BATCH = 500;

export interface PushRouterOptions {
  readonly clock: Pick<Clock, 'defer' | 'after' | 'monotonic'>;
  readonly manager: ConnectionManager;
  readonly delivery: LocalDelivery;
  readonly presence: UserLocator;
  /** Absent if there is no other node. */
  readonly remote?: RemoteDelivery | undefined;
  /** Whether a user with a connection here may have more of them on other nodes (session policy `multi`). */
  readonly mayBeOnSeveralNodes: boolean;
}

/**
 * Delivers to the connections of this node, and sends the message to the nodes that hold the other users. For the rest it
 * answers what presence knows. It counts each outcome once, when it answers the sender.
 */
export class PushRouter implements Router {
  readonly #options: PushRouterOptions;
  /** A burst on the push channel asks presence once for many users. */
  readonly #absent: Batcher<number, Delivery>;
  readonly #groups: GroupPushes;

  constructor(options: PushRouterOptions) {
    this.#options = options;
    this.#groups = new GroupPushes(options);
    this.#absent = new Batcher({
      clock: options.clock,
      run: async (userIds) => {
        const located = await this.#located(userIds);
        return userIds.map((userId) => ok(located.get(userId) ?? unknownDelivery(userId)));
      },
      maxBatch: LOOK_UP_BATCH,
      maxWaiting: MAX_WAITING_ABSENT,
    });
  }

  /** `since`: when the push came in, in monotonic ms; absent: now. */
  async push(request: PushRequest, since?: number): Promise<PushReport> {
    const { manager, delivery } = this.#options;
    const { to } = request;
    const expiresAt = this.#expiryOf(request, since);
    if ('all' in to) return this.#pushToAll(request, expiresAt);
    if ('groups' in to) return this.#groups.push({ ...request, to, expiresAt });
    const { type, dataText, ack, key, priority } = request;
    const message = manager.prepareText(type, dataText, { ack, key, priority, expiresAt });
    if ('userId' in to && ack !== true && this.#isAllHere(to.userId)) {
      const result = delivery.toOne(message, to.userId);
      countDelivery(manager.counters, result);
      return { results: [result], counts: { [result.status]: 1 } };
    }
    // One delivery and one result for each user, in the order in which they are first named.
    const userIds = 'userId' in to ? [to.userId] : [...new Set(to.userIds)];
    // It delivers before it awaits anything, so that pushes keep their order (rule DL4).
    const local = delivery.begin(message, userIds, request);
    const elsewhere = this.#elsewhere(request, userIds, expiresAt);
    const [here, there] = await Promise.all([acknowledged(local), elsewhere]);
    const results = here.map((result) => {
      const remote = there.get(result.userId);
      return remote === undefined ? result : result.status === 'offline' ? remote : bestOf(result, remote);
    });
    for (const result of results) countDelivery(manager.counters, result);
    return { results, counts: countsOf(results) };
  }

  /**
   * Delivers to the connections of this node only, for pushes that every node receives. The node with the user counts the outcome.
   * With `answersForAbsent` this node also counts the users without a connection on any node. `since` as in {@link push}.
   */
  async pushHere(request: PushRequest, answersForAbsent: boolean, since?: number): Promise<void> {
    const { manager, delivery } = this.#options;
    const { to, type, dataText, ack, key, priority } = request;
    const expiresAt = this.#expiryOf(request, since);
    if ('all' in to) {
      await this.#broadcast(manager.prepareText(type, dataText, { key, priority, expiresAt }));
      return;
    }
    if ('groups' in to) {
      await this.#groups.pushHere({ ...request, to, expiresAt });
      return;
    }
    const message = manager.prepareText(type, dataText, { ack, key, priority, expiresAt });
    const userIds = 'userId' in to ? [to.userId] : [...new Set(to.userIds)];
    const results = await acknowledged(delivery.begin(message, userIds, request));
    const absent = results.filter(({ status }) => status === 'offline').map(({ userId }) => userId);
    for (const result of results) if (result.status !== 'offline') countDelivery(manager.counters, result);
    if (!answersForAbsent || absent.length === 0) return;
    await Promise.all(
      absent.map(async (userId) => {
        const answer = await this.#absent.submit(userId);
        const result = answer.ok ? answer.value : unknownDelivery(userId);
        // A user who is connected to another node is counted there.
        if (result.status === 'offline' || !answer.ok) countDelivery(manager.counters, result);
      }),
    );
  }

  /** Asks nobody to acknowledge. */
  async #pushToAll(request: PushRequest, expiresAt: number): Promise<PushReport> {
    const { manager, remote, presence } = this.#options;
    const { type, dataText, key, priority } = request;
    const message = manager.prepareText(type, dataText, { key, priority, expiresAt });
    const elsewhere =
      remote?.deliverToAll({ ...request, ack: false, expiresAt }) ?? Promise.resolve<DeliveryCounts>({});
    const [here, told] = await Promise.all([this.#broadcast(message), elsewhere]);
    const left = Math.max(0, presence.onlineCount() - manager.onlineCount());
    const there = typeof told !== 'string' ? told : lostToAll(told, left);
    // Each node has counted its own users. If a node does not answer, this node counts its users as unknown.
    manager.counters.messages.unknown += there.unknown ?? 0;
    if (typeof told === 'string' && told !== 'unknown') {
      manager.counters.messages.dropped += left;
      manager.counters.dropped[told] += left;
    }
    return { counts: sumOf(here, there) };
  }

  async #broadcast(message: Outgoing): Promise<DeliveryCounts> {
    const { manager } = this.#options;
    const dispatched = manager.broadcastPrepared(message);
    return dispatched === undefined ? { dropped: manager.onlineCount() } : (await dispatched).counts;
  }

  /** Whether every connection of the user is one of this node. */
  #isAllHere(userId: number): boolean {
    const { manager, remote, mayBeOnSeveralNodes } = this.#options;
    return (remote === undefined || !mayBeOnSeveralNodes) && manager.isUserOnline(userId);
  }

  #expiryOf({ ttlMs }: PushRequest, since?: number): number {
    if (ttlMs === undefined) return Number.POSITIVE_INFINITY;
    return (since ?? this.#options.clock.monotonic()) + ttlMs;
  }

  /** The outcomes for users on other nodes or without a connection. */
  #elsewhere(
    request: PushRequest,
    userIds: readonly number[],
    expiresAt: number,
  ): Promise<ReadonlyMap<number, Delivery>> | ReadonlyMap<number, Delivery> {
    const { manager, remote, mayBeOnSeveralNodes } = this.#options;
    const asked =
      remote !== undefined && mayBeOnSeveralNodes
        ? userIds
        : userIds.filter((userId) => !manager.isUserOnline(userId));
    if (asked.length === 0) return NOBODY;
    return remote === undefined
      ? this.#located(asked)
      : remote
          .deliver({ ...request, expiresAt }, asked)
          .then((deliveries) => new Map(deliveries.map((delivery) => [delivery.userId, delivery])));
  }

  /** Where users without a connection on this node are: offline, online without a socket, or on another node (`unknown`). */
  async #located(userIds: readonly number[]): Promise<ReadonlyMap<number, Delivery>> {
    const { presence } = this.#options;
    const users = await presence.locate(userIds).catch(() => undefined);
    return new Map(
      userIds.map((userId, index): [number, Delivery] => {
        if (users === undefined) return [userId, unknownDelivery(userId)];
        const user = users[index];
        if (user?.status !== 'online') return [userId, { userId, status: 'offline', connections: 0 }];
        // Presence may still count a socket of this node that has closed. So only sockets on other nodes matter.
        return user.socketsElsewhere > 0
          ? [userId, unknownDelivery(userId)]
          : [userId, { userId, status: 'offline', connections: 0, reason: 'no-connection' }];
      }),
    );
  }
}

const NOBODY: ReadonlyMap<number, Delivery> = new Map();

async function acknowledged(handed: HandedOver): Promise<readonly Delivery[]> {
  return handed.acknowledged(await handed.deliveries);
}

/** The counts of a message to all users if no other node got it. */
function lostToAll(what: DropReason | 'unknown', users: number): DeliveryCounts {
  return users === 0 ? {} : what === 'unknown' ? { unknown: users } : { dropped: users };
}
