import type { AckWait } from '../connection/acknowledgements.ts';
import type { ConnectionManager } from '../connection/connection-manager.ts';
import type { LiveTargets } from '../connection/dispatcher.ts';
import { countDelivery, type Outgoing } from '../connection/outgoing.ts';
import { countsOf, type Delivery, type DeliveryCounts, sumOf, type ToGroups } from '../protocol/delivery.ts';
import type { PushRate } from './push-rate.ts';

const DEFAULT_ACK_TIMEOUT_MS = 5000;
/** Messages to this many users go out at once. Longer lists go through the dispatch queue, in slices. */
const INLINE_USERS = 64;
/** Largest number of members on one node whose acknowledgements a push to groups waits for. */
const MAX_ASKED_MEMBERS = 10_000;

/**
 * Largest number of members without a connection on this node that one push reports. For these the sender asks presence whether
 * another node has a connection. Further ones count as offline.
 */
const MAX_QUIET = 2_000;

/** The part of a push about acknowledgements. */
export interface AckWish {
  readonly ack?: boolean;
  readonly timeoutMs?: number;
}

/** Finds the members of groups among the users that this node holds. */
export interface Members {
  /** Members of any of the groups, each once, without those of `except`. */
  membersHere(groups: readonly string[], except: ReadonlySet<number>): LiveTargets;
}

/** The outcome of a message to groups on this node. */
export interface GroupDelivery {
  readonly counts: DeliveryCounts;
  /** Members that this node holds without a connection. They are not in `counts`. */
  readonly quiet: readonly number[];
}

/** A message to groups on its way to connections of this node. */
export interface HandedToGroups {
  /** Resolves once all connections have it. */
  readonly first: Promise<GroupDelivery>;
  /** Whether somebody is asked to acknowledge. */
  readonly awaitsAcks: boolean;
  /** The same, once every user who was asked has acknowledged, or the time is over. Never rejects. */
  readonly final: Promise<GroupDelivery>;
}

/** A message that was handed to connections of this node. */
export interface HandedOver {
  /** One for each user, in the order asked. */
  readonly deliveries: Promise<readonly Delivery[]>;
  /** Whether somebody is asked to acknowledge. */
  readonly awaitsAcks: boolean;
  /** The same, once every user who was asked has acknowledged, or the time is over. Never rejects. */
  acknowledged(deliveries: readonly Delivery[]): Promise<readonly Delivery[]>;
}

/**
 * Delivers messages to the connections of this node. The node that answers the sender counts the outcomes. Only the outcomes of
 * a message to groups are counted here, because no other node knows the members.
 */
export class LocalDelivery {
  readonly #manager: ConnectionManager;
  readonly #rate: PushRate;
  readonly #members: Members;

  constructor(manager: ConnectionManager, rate: PushRate, members: Members) {
    this.#manager = manager;
    this.#rate = rate;
    this.#members = members;
  }

  /**
   * As {@link begin}, to members of groups. This node counts the outcomes, because only it knows its members. It makes no list
   * of many members, so a batch of such messages needs little memory.
   */
  beginToGroups(message: Outgoing, { groups, except = [] }: ToGroups, wish: AckWish): HandedToGroups {
    const members = this.#members.membersHere(groups, new Set(except));
    const { atMost } = members;
    const asks = wish.ack === true && atMost <= MAX_ASKED_MEMBERS && this.#manager.canAsk(atMost);
    return atMost <= INLINE_USERS || asks
      ? this.#toNamed(message, members, wish)
      : this.#toMany(message, members);
  }

  #toNamed(message: Outgoing, members: LiveTargets, wish: AckWish): HandedToGroups {
    const absent = new Absent();
    const present: number[] = [];
    for (const userId of members) {
      if (this.#manager.isUserOnline(userId)) present.push(userId);
      else absent.add(userId);
    }
    const handedOver = this.begin(message, present, wish);
    const { deliveries, awaitsAcks } = handedOver;
    return {
      first: deliveries.then((handed) => absent.with(countsOf(handed))),
      awaitsAcks,
      final: deliveries
        .then((handed) => handedOver.acknowledged(handed))
        .then((outcomes) => {
          for (const outcome of outcomes) countDelivery(this.#manager.counters, outcome);
          return this.#counted(absent, countsOf(outcomes));
        }),
    };
  }

  #toMany(message: Outgoing, members: LiveTargets): HandedToGroups {
    const absent = new Absent();
    const dispatched = this.#manager.sendToMembers(members, message, {
      admits: (userId) => this.#rate.admit(userId),
      absent: (userId) => absent.add(userId),
    });
    const first =
      dispatched?.then(({ counts }) => this.#counted(absent, counts)) ??
      Promise.resolve({ counts: { dropped: members.atMost }, quiet: [] });
    return { first, awaitsAcks: false, final: first };
  }

  #counted(absent: Absent, counts: DeliveryCounts): GroupDelivery {
    this.#manager.counters.messages.offline += absent.unnamed;
    return absent.with(counts);
  }

  /** Delivers the message, or queues it, before it returns. So pushes keep their order (rule DL4). */
  begin(message: Outgoing, userIds: readonly number[], wish: AckWish): HandedOver {
    const deliveries =
      userIds.length <= INLINE_USERS
        ? Promise.resolve(this.#inline(userIds, message))
        : this.#sliced(userIds, message);
    const wait = wish.ack === true ? this.#acknowledgements(userIds, message, wish.timeoutMs) : undefined;
    return {
      deliveries,
      awaitsAcks: wait?.isPending === true,
      acknowledged: (handed) => withAcks(handed, wait),
    };
  }

  #inline(userIds: readonly number[], message: Outgoing): readonly Delivery[] {
    return userIds.map((userId) => this.toOne(message, userId));
  }

  /** As {@link begin} for one user, who is not asked to acknowledge. */
  toOne(message: Outgoing, userId: number): Delivery {
    return this.#admits(userId) ? this.#manager.deliverTo(userId, message) : dropped(userId, 'rate');
  }

  async #sliced(userIds: readonly number[], message: Outgoing): Promise<readonly Delivery[]> {
    const admitted = new Set(userIds.filter((userId) => this.#admits(userId)));
    const dispatched = this.#manager.sendToUsers(admitted, message);
    if (dispatched === undefined) return userIds.map((userId) => dropped(userId, 'dispatch-full'));
    const { results } = await dispatched;
    return userIds.map((userId) => results?.get(userId) ?? dropped(userId, 'rate'));
  }

  /** The node that delivers a message counts the rate. A user without a connection here does not count. */
  #admits(userId: number): boolean {
    return !this.#manager.isUserOnline(userId) || this.#rate.admit(userId);
  }

  /** The wait begins in the same turn as the frames leave, so it misses no answer. */
  #acknowledgements(
    userIds: readonly number[],
    message: Outgoing,
    timeoutMs = DEFAULT_ACK_TIMEOUT_MS,
  ): AckWait {
    const askable = userIds.filter((userId) =>
      this.#manager.connectionsOf(userId).some(({ speaksV1 }) => speaksV1),
    );
    return this.#manager.acknowledged(message, { userIds: askable, timeoutMs });
  }
}

/** Members without a connection here. */
class Absent {
  readonly #named: number[] = [];
  /** Number of members beyond {@link MAX_QUIET}. */
  unnamed = 0;

  add(userId: number): void {
    if (this.#named.length < MAX_QUIET) this.#named.push(userId);
    else this.unnamed += 1;
  }

  with(counts: DeliveryCounts): GroupDelivery {
    const all = this.unnamed === 0 ? counts : sumOf(counts, { offline: this.unnamed });
    return { counts: all, quiet: this.#named };
  }
}

async function withAcks(
  deliveries: readonly Delivery[],
  wait: AckWait | undefined,
): Promise<readonly Delivery[]> {
  if (wait === undefined) return deliveries;
  wait.giveUpOn(deliveries.filter((delivery) => !isHandedOver(delivery)).map(({ userId }) => userId));
  const acked = await wait.acked;
  return deliveries.map((delivery) =>
    isHandedOver(delivery) && acked.has(delivery.userId) ? { ...delivery, status: 'acked' } : delivery,
  );
}

function isHandedOver({ status }: Delivery): boolean {
  return status === 'written' || status === 'queued';
}

function dropped(userId: number, reason: 'rate' | 'dispatch-full'): Delivery {
  return { userId, status: 'dropped', connections: 0, reason };
}
