import type { ConnectionManager } from '../connection/connection-manager.ts';
import { countDelivery, type Outgoing } from '../connection/outgoing.ts';
import type { Delivery, DeliveryStatus, PushReport, PushRequest } from '../protocol/delivery.ts';
import type { PushRate } from './push-rate.ts';
import type { Router } from './router.ts';

const DEFAULT_ACK_TIMEOUT_MS = 5000;
/** Lists up to this long are handed over at once; longer ones go through the dispatch queue, in slices. */
const INLINE_USERS = 64;

export interface LocalRouterOptions {
  readonly manager: ConnectionManager;
  readonly presence: Whereabouts;
  readonly rate: PushRate;
}

/** Where users are, as presence knows it; rejects while the store is unreachable. */
export interface Whereabouts {
  locate(userIds: readonly number[]): Promise<
    readonly (
      | {
          readonly status: 'online' | 'offline';
          /** Sockets on other nodes than this one. */
          readonly socketsElsewhere: number;
        }
      | undefined
    )[]
  >;
}

/**
 * Delivers to the connections of this node, and says of everyone else what presence knows: offline, online without a
 * socket, or connected to another node, which is `unknown` as long as no bus carries messages there.
 */
export class LocalRouter implements Router {
  readonly #options: LocalRouterOptions;

  constructor(options: LocalRouterOptions) {
    this.#options = options;
  }

  async push(request: PushRequest): Promise<PushReport> {
    const { manager } = this.#options;
    const { to } = request;
    const message = manager.prepareText(request.type, request.dataText, request.ack === true);
    if ('all' in to) return this.#broadcast(message);
    // One delivery and one result for each user, in the order in which they are first named.
    const userIds = 'userId' in to ? [to.userId] : [...new Set(to.userIds)];
    // Handed over before anything is awaited, so that pushes keep the order in which they were made (rule DL4).
    const handedOver =
      userIds.length <= INLINE_USERS ? this.#inline(userIds, message) : this.#sliced(userIds, message);
    const acknowledged =
      request.ack === true ? this.#acknowledged(userIds, message, request.timeoutMs) : undefined;
    const local = await handedOver;
    const results = await this.#explained(await this.#withAcks(local, acknowledged));
    for (const result of results) countDelivery(manager.counters, result);
    return { results, counts: count(results) };
  }

  async #broadcast(message: Outgoing): Promise<PushReport> {
    const { manager } = this.#options;
    const dispatched = manager.broadcastPrepared(message);
    if (dispatched === undefined) return { counts: { dropped: manager.onlineCount() } };
    return { counts: (await dispatched).counts };
  }

  #inline(userIds: readonly number[], message: Outgoing): Delivery[] {
    const { manager, rate } = this.#options;
    return userIds.map((userId) => {
      if (rate.admit(userId)) return manager.deliverTo(userId, message);
      return { userId, status: 'dropped', connections: 0, reason: 'rate' };
    });
  }

  async #sliced(userIds: readonly number[], message: Outgoing): Promise<Delivery[]> {
    const { manager, rate } = this.#options;
    const admitted = new Set(userIds.filter((userId) => rate.admit(userId)));
    const dispatched = manager.sendToUsers(admitted, message);
    if (dispatched === undefined) {
      return userIds.map((userId) => ({
        userId,
        status: 'dropped',
        connections: 0,
        reason: 'dispatch-full',
      }));
    }
    const { results } = await dispatched;
    return userIds.map(
      (userId) => results?.get(userId) ?? { userId, status: 'dropped', connections: 0, reason: 'rate' },
    );
  }

  /** Waits begin in the turn in which the frames leave: no answer can come earlier. */
  #acknowledged(
    userIds: readonly number[],
    message: Outgoing,
    timeoutMs = DEFAULT_ACK_TIMEOUT_MS,
  ): ReadonlyMap<number, Promise<boolean>> {
    const { manager } = this.#options;
    const askable = userIds.filter((userId) =>
      manager.connectionsOf(userId).some(({ speaksV1 }) => speaksV1),
    );
    return new Map(askable.map((userId) => [userId, manager.acknowledged(message, { userId, timeoutMs })]));
  }

  async #withAcks(
    local: readonly Delivery[],
    waits: ReadonlyMap<number, Promise<boolean>> | undefined,
  ): Promise<readonly Delivery[]> {
    if (waits === undefined) return local;
    return Promise.all(
      local.map(async (delivery) => {
        const handedOver = delivery.status === 'written' || delivery.status === 'queued';
        const acked = handedOver && ((await waits.get(delivery.userId)) ?? false);
        return acked ? { ...delivery, status: 'acked' as const } : delivery;
      }),
    );
  }

  async #explained(deliveries: readonly Delivery[]): Promise<readonly Delivery[]> {
    const { presence } = this.#options;
    const absent = deliveries.filter(({ status }) => status === 'offline');
    if (absent.length === 0) return deliveries;
    const known = new Map<number, Delivery>();
    try {
      const users = await presence.locate(absent.map(({ userId }) => userId));
      absent.forEach(({ userId }, index) => {
        const user = users[index];
        if (user?.status !== 'online') return;
        // A socket of this node that presence still counts has ended: this node would have it.
        const elsewhere = user.socketsElsewhere > 0;
        known.set(
          userId,
          elsewhere
            ? { userId, status: 'unknown', connections: 0 }
            : { userId, status: 'offline', connections: 0, reason: 'no-connection' },
        );
      });
    } catch {
      for (const { userId } of absent) known.set(userId, { userId, status: 'unknown', connections: 0 });
    }
    return deliveries.map((delivery) =>
      delivery.status === 'offline' ? (known.get(delivery.userId) ?? delivery) : delivery,
    );
  }
}

function count(results: readonly Delivery[]): PushReport['counts'] {
  const counts: Partial<Record<DeliveryStatus, number>> = {};
  for (const { status } of results) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}
