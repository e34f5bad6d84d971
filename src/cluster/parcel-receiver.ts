import type { ConnectionManager } from '../connection/connection-manager.ts';
import type { Clock } from '../lib/clock.ts';
import { inBackground } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import {
  type DeliveryOptions,
  PRIORITIES,
  type Priority,
  type ToGroups,
  unknownDelivery,
} from '../protocol/delivery.ts';
import { PROTOCOL_TYPES } from '../protocol/frames.ts';
import { isGroupName } from '../protocol/groups.ts';
import { topLevelValues } from '../protocol/json-spans.ts';
import type { Inbox, NodeFrame } from './inbox.ts';
import type { AckWish, GroupDelivery, LocalDelivery } from './local-delivery.ts';
import { outcomeText, type ParcelOutcome } from './parcel-outcomes.ts';
import { MAX_PARCEL_USERS, type Post } from './post.ts';
import {
  KEY,
  MAX_ACK_TIMEOUT_MS,
  MAX_GROUPS,
  MAX_RECEIVERS,
  MAX_TTL_MS,
  MAX_TYPE_LENGTH,
} from './push-request.ts';

/** Largest number of answers on their way to other nodes. The senders of further parcels get no answer. */
const MAX_ANSWERING = 1000;
/** Outcomes for one node leave together at the end of a turn, or at this many characters. */
const MAX_OUTCOMES_TEXT = 500_000;

export interface ParcelReceiverOptions {
  readonly manager: ConnectionManager;
  readonly delivery: LocalDelivery;
  readonly post: Pick<Post, 'tell'>;
  readonly inbox: Pick<Inbox, 'on'>;
  readonly clock: Pick<Clock, 'defer' | 'monotonic'>;
  readonly log: Log;
  readonly sockets: HeldSockets;
}

/** What presence knows of the sockets of this node. */
export interface HeldSockets {
  /** Epoch of the newest socket that this node holds for the user, 0 without one. */
  newestEpochHere(userId: number): number;
}

/** A user of a parcel, and the epoch of the user's newest socket on this node when the sender looked. */
interface Addressee {
  readonly userId: number;
  readonly epoch: number;
}

interface ReceivedParcel extends AckWish, DeliveryOptions {
  readonly id: string;
  readonly from: string;
  readonly users: readonly Addressee[] | ToGroups | 'all';
  readonly type: string;
  readonly dataText: string;
}

/** Delivers parcels of other nodes and answers them. It never routes a parcel on (rule DL6). */
export class ParcelReceiver {
  readonly #options: ParcelReceiverOptions;
  /** Texts of outcomes, by the node that sent the parcels. */
  readonly #outcomes = new Map<string, string[]>();
  #textLength = 0;
  #answering = 0;

  constructor(options: ParcelReceiverOptions) {
    this.#options = options;
    options.inbox.on('parcel', (frame) => {
      const parcel = parseParcel(frame);
      if (parcel !== undefined) this.#deliver(parcel);
      return parcel !== undefined;
    });
  }

  #deliver(parcel: ReceivedParcel): void {
    inBackground(this.#options.log, this.#work(parcel));
  }

  #work(parcel: ReceivedParcel): Promise<void> {
    const { users } = parcel;
    if (users === 'all') return this.#deliverToAll(parcel);
    return 'groups' in users ? this.#deliverToGroups(parcel, users) : this.#deliverTo(parcel, users);
  }

  async #deliverToGroups(parcel: ReceivedParcel, to: ToGroups): Promise<void> {
    const { manager, delivery } = this.#options;
    const { id, from, type, dataText, ack, key, priority } = parcel;
    const expiresAt = this.#expiryOf(parcel);
    const message = manager.prepareText(type, dataText, { ack, key, priority, expiresAt });
    const handed = delivery.beginToGroups(message, to, parcel);
    const answer = ({ counts, quiet }: GroupDelivery, awaitsAcks: boolean): void =>
      this.#answer(from, { id, counts, quiet, awaitsAcks });
    if (handed.awaitsAcks) answer(await handed.first, true);
    answer(await handed.final, false);
  }

  async #deliverToAll({ id, from, ...parcel }: ReceivedParcel): Promise<void> {
    const { manager } = this.#options;
    const { type, dataText, key, priority } = parcel;
    const expiresAt = this.#expiryOf(parcel);
    const message = manager.prepareText(type, dataText, { key, priority, expiresAt });
    const dispatched = manager.broadcastPrepared(message);
    const counts = dispatched === undefined ? { dropped: manager.onlineCount() } : (await dispatched).counts;
    this.#answer(from, { id, counts, awaitsAcks: false });
  }

  async #deliverTo(parcel: ReceivedParcel, users: readonly Addressee[]): Promise<void> {
    const { manager, delivery, sockets } = this.#options;
    const { id, from, type, dataText, ack, key, priority } = parcel;
    const expiresAt = this.#expiryOf(parcel);
    const isCurrent = ({ userId, epoch }: Addressee): boolean =>
      manager.isUserOnline(userId) && sockets.newestEpochHere(userId) >= epoch;
    const present = users.filter(isCurrent).map(({ userId }) => userId);
    // A user without a current socket here may be back on another node by now.
    const gone = users.filter((user) => !isCurrent(user)).map(({ userId }) => unknownDelivery(userId));
    const message = manager.prepareText(type, dataText, { ack, key, priority, expiresAt });
    const handed = delivery.begin(message, present, parcel);
    const deliveries = await handed.deliveries;
    this.#answer(from, { id, deliveries: [...deliveries, ...gone], awaitsAcks: handed.awaitsAcks });
    if (!handed.awaitsAcks) return;
    this.#answer(from, { id, deliveries: await handed.acknowledged(deliveries), awaitsAcks: false });
  }

  /** If this process has just stalled, the frame may have waited that long. So the whole stall is charged. */
  #expiryOf({ ttlMs }: DeliveryOptions): number {
    if (ttlMs === undefined) return Number.POSITIVE_INFINITY;
    const { clock, manager } = this.#options;
    return clock.monotonic() + ttlMs - manager.time.recentStallMs();
  }

  #answer(node: string, outcome: ParcelOutcome): void {
    if (this.#outcomes.size === 0) this.#options.clock.defer(() => this.#flush());
    const texts = this.#outcomes.get(node) ?? [];
    this.#outcomes.set(node, texts);
    const text = outcomeText(outcome);
    texts.push(text);
    this.#textLength += text.length;
    if (this.#textLength >= MAX_OUTCOMES_TEXT) this.#flush();
  }

  #flush(): void {
    const { post } = this.#options;
    for (const [node, texts] of this.#outcomes) {
      if (this.#answering >= MAX_ANSWERING) break;
      this.#answering += 1;
      // If the answer is lost, the sender gives up after its time.
      void post
        .tell(node, `"kind":"outcomes","of":[${texts.join(',')}]`)
        .catch(() => undefined)
        .finally(() => {
          this.#answering -= 1;
        });
    }
    this.#outcomes.clear();
    this.#textLength = 0;
  }
}

function parseParcel({ from, members, text }: NodeFrame): ReceivedParcel | undefined {
  const { id, type, ack, timeoutMs, key, priority, ttlMs } = members;
  const users = members['all'] === true ? 'all' : (parseGroups(members) ?? parseAddressees(members['users']));
  const dataText = topLevelValues(text).get('data');
  if (users === undefined || dataText === undefined || typeof id !== 'string') return undefined;
  if (typeof type !== 'string' || type === '' || type.length > MAX_TYPE_LENGTH) return undefined;
  if (PROTOCOL_TYPES.has(type)) return undefined;
  if (ack !== undefined && typeof ack !== 'boolean') return undefined;
  if (timeoutMs !== undefined && !isMs(timeoutMs, MAX_ACK_TIMEOUT_MS)) return undefined;
  if (ttlMs !== undefined && !isMs(ttlMs, MAX_TTL_MS)) return undefined;
  if (key !== undefined && (typeof key !== 'string' || !KEY.test(key))) return undefined;
  if (priority !== undefined && !isPriority(priority)) return undefined;
  return {
    id,
    from,
    users,
    type,
    dataText,
    ...(ack === undefined ? {} : { ack }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(key === undefined ? {} : { key }),
    ...(priority === undefined ? {} : { priority }),
    ...(ttlMs === undefined ? {} : { ttlMs }),
  };
}

function parseGroups({ groups, except = [] }: NodeFrame['members']): ToGroups | undefined {
  if (!Array.isArray(groups) || groups.length > MAX_GROUPS || !groups.every(isGroupName)) return undefined;
  if (!Array.isArray(except) || except.length > MAX_RECEIVERS || !except.every(isWhole)) return undefined;
  return { groups, except };
}

function parseAddressees(value: unknown): readonly Addressee[] | undefined {
  if (!Array.isArray(value) || value.length > MAX_PARCEL_USERS) return undefined;
  const users: Addressee[] = [];
  for (const item of value) {
    if (!Array.isArray(item)) return undefined;
    const [userId, epoch] = item as readonly unknown[];
    if (!isWhole(userId) || !isWhole(epoch)) return undefined;
    users.push({ userId, epoch });
  }
  return users;
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isMs(value: unknown, max: number): value is number {
  return isWhole(value) && value >= 1 && value <= max;
}

function isPriority(value: unknown): value is Priority {
  return (PRIORITIES as readonly unknown[]).includes(value);
}
