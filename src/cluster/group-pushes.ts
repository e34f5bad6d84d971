import type { ConnectionManager } from '../connection/connection-manager.ts';
import {
  type DeliveryCounts,
  type DropReason,
  type PushReport,
  sumOf,
  type ToGroups,
} from '../protocol/delivery.ts';
import type { HandedToGroups, LocalDelivery } from './local-delivery.ts';
import type { GroupOutcome, RemoteDelivery, RemotePush } from './remote-delivery.ts';
import type { UserLocator } from './user-locator.ts';

/** Users in one call to presence. */
const LOOK_UP_BATCH = 500;
/** Users that all pushes together may look up at the same time. Beyond it a push counts its members as offline without asking. */
const MAX_LOOKED_UP = 10_000;
const NO_OTHER_NODE: GroupOutcome = { counts: {}, quiet: [], silent: 0 };

/** A message to members of groups. */
export interface GroupPush extends RemotePush {
  readonly to: ToGroups;
}

interface GroupPushOptions {
  readonly manager: ConnectionManager;
  readonly delivery: LocalDelivery;
  readonly presence: Pick<UserLocator, 'onlineCount' | 'locate' | 'groupSize'>;
  readonly remote?: Pick<RemoteDelivery, 'deliverToGroups'> | undefined;
}

/** Messages to members of groups: one frame for each node, which delivers to its own members once (rule GR2). */
export class GroupPushes {
  readonly #options: GroupPushOptions;
  #lookedUp = 0;

  constructor(options: GroupPushOptions) {
    this.#options = options;
  }

  /** Each node counts its own deliveries. This node also counts those without a socket and those of silent nodes. */
  async push(request: GroupPush): Promise<PushReport> {
    const { remote } = this.#options;
    const { to } = request;
    const handed = this.#begin(request);
    const elsewhere = remote?.deliverToGroups(request, to) ?? NO_OTHER_NODE;
    const [here, told] = await Promise.all([handed.final, elsewhere]);
    const there = typeof told === 'string' ? NO_OTHER_NODE : told;
    const delivered = sumOf(here.counts, there.counts);
    const quiet = new Set([...here.quiet, ...there.quiet]);
    const located = sumOf(delivered, await this.#withoutSocket(quiet));
    return { counts: sumOf(located, await this.#unheard(to, told, located)) };
  }

  /** Delivers to the members on this node only. For pushes that every node receives. */
  async pushHere(request: GroupPush): Promise<void> {
    await this.#begin(request).final;
  }

  #begin(request: GroupPush): HandedToGroups {
    const { manager, delivery } = this.#options;
    const { type, dataText, ack, key, priority, expiresAt } = request;
    const message = manager.prepareText(type, dataText, { ack, key, priority, expiresAt });
    return delivery.beginToGroups(message, request.to, request);
  }

  /** A member that one node holds without a socket may have sockets on another, which counts that member. */
  async #withoutSocket(userIds: ReadonlySet<number>): Promise<DeliveryCounts> {
    const { presence, manager, remote } = this.#options;
    // Without other nodes these members have no socket at all.
    const asks = remote !== undefined && this.#lookedUp + userIds.size <= MAX_LOOKED_UP;
    const counts = { offline: asks ? 0 : userIds.size, unknown: 0 };
    const all = asks ? [...userIds] : [];
    this.#lookedUp += all.length;
    for (let at = 0; at < all.length; at += LOOK_UP_BATCH) {
      const batch = all.slice(at, at + LOOK_UP_BATCH);
      const users = await presence.locate(batch).catch(() => undefined);
      if (users === undefined) counts.unknown += batch.length;
      for (const user of users ?? [])
        if (user?.status === 'online' && user.sockets === 0) counts.offline += 1;
    }
    this.#lookedUp -= all.length;
    manager.counters.messages.offline += counts.offline;
    manager.counters.messages.unknown += counts.unknown;
    return withoutZeros(counts);
  }

  /** Upper bound of the members on nodes that did not answer. */
  async #unheard(
    to: ToGroups,
    told: GroupOutcome | DropReason | 'unknown',
    counted: DeliveryCounts,
  ): Promise<DeliveryCounts> {
    const { presence, manager } = this.#options;
    const elsewhere = Math.max(0, presence.onlineCount() - manager.onlineCount());
    const held = typeof told === 'string' ? elsewhere : told.silent;
    if (held === 0) return {};
    const rest = Object.values(counted).reduce((sum, number) => sum + number, 0);
    const sizes = await Promise.all([...new Set(to.groups)].map((group) => presence.groupSize(group))).catch(
      () => undefined,
    );
    const members = sizes?.reduce((sum, size) => sum + size, 0) ?? Number.POSITIVE_INFINITY;
    const unheard = Math.min(held, Math.max(0, members - rest));
    if (typeof told !== 'string' || told === 'unknown') {
      manager.counters.messages.unknown += unheard;
      return withoutZeros({ unknown: unheard });
    }
    manager.counters.messages.dropped += unheard;
    manager.counters.dropped[told] += unheard;
    return withoutZeros({ dropped: unheard });
  }
}

function withoutZeros(counts: DeliveryCounts): DeliveryCounts {
  return Object.fromEntries(Object.entries(counts).filter(([, number]) => number > 0));
}
