import type { AckWait } from '../connection/acknowledgements.ts';
import type { ConnectionManager } from '../connection/connection-manager.ts';
import type { Outgoing } from '../connection/outgoing.ts';
import type { Delivery, ToGroups } from '../protocol/delivery.ts';
import type { PushRate } from './push-rate.ts';

const DEFAULT_ACK_TIMEOUT_MS = 5000;
/** Lists up to this long are handed over at once; longer ones go through the dispatch queue, in slices. */
const INLINE_USERS = 64;

/** What a push says of acknowledgements. */
export interface AckWish {
  readonly ack?: boolean;
  readonly timeoutMs?: number;
}

/** Who of the users that this node holds is in groups. */
export interface Members {
  /** Members of any of the groups, each once, without those of `except`. */
  membersHere(groups: readonly string[], except: ReadonlySet<number>): ReadonlySet<number>;
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

/** Hands messages to the connections of this node. It counts nothing: the node that answers the sender counts the outcome. */
export class LocalDelivery {
  readonly #manager: ConnectionManager;
  readonly #rate: PushRate;
  readonly #members: Members;

  constructor(manager: ConnectionManager, rate: PushRate, members: Members) {
    this.#manager = manager;
    this.#rate = rate;
    this.#members = members;
  }

  /** As {@link begin}, to members of groups. `quiet`: members that this node holds and that have no connection here. */
  beginToGroups(
    message: Outgoing,
    { groups, except = [] }: ToGroups,
    wish: AckWish,
  ): HandedOver & { readonly quiet: readonly number[] } {
    const [present, quiet]: [number[], number[]] = [[], []];
    for (const userId of this.#members.membersHere(groups, new Set(except)))
      (this.#manager.isUserOnline(userId) ? present : quiet).push(userId);
    return { ...this.begin(message, present, wish), quiet };
  }

  /** Hands over, or puts into the dispatch queue, before it returns: pushes keep their order (rule DL4). */
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
    return userIds.map((userId) =>
      this.#admits(userId) ? this.#manager.deliverTo(userId, message) : dropped(userId, 'rate'),
    );
  }

  async #sliced(userIds: readonly number[], message: Outgoing): Promise<readonly Delivery[]> {
    const admitted = new Set(userIds.filter((userId) => this.#admits(userId)));
    const dispatched = this.#manager.sendToUsers(admitted, message);
    if (dispatched === undefined) return userIds.map((userId) => dropped(userId, 'dispatch-full'));
    const { results } = await dispatched;
    return userIds.map((userId) => results?.get(userId) ?? dropped(userId, 'rate'));
  }

  /** The rate counts where a message is delivered: a user without a connection here uses none of it. */
  #admits(userId: number): boolean {
    return !this.#manager.isUserOnline(userId) || this.#rate.admit(userId);
  }

  /** The wait begins in the turn in which the frames leave: no answer can come earlier. */
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
