import { Batcher } from '../lib/batcher.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import { ok } from '../lib/result.ts';
import {
  type Delivery,
  type DeliveryCounts,
  type DeliveryStatus,
  type PushRequest,
  unknownDelivery,
} from '../protocol/delivery.ts';
import type { Inbox } from './inbox.ts';
import { type ParcelOutcome, parseOutcome } from './parcel-outcomes.ts';
import { MAX_PARCEL_USERS, type Parcel, type Post, type Routed } from './post.ts';

/** Without an answer for this long, nobody knows what became of a message (rule DL6). */
const ANSWER_MS = 500;
const DEFAULT_ACK_TIMEOUT_MS = 5000;
/** Parcels that may wait for the store, and for their answers. */
const MAX_WAITING = 10_000;
/** One script looks at so many users, and carries so much text, beside one parcel that is larger by itself. */
const MAX_ROUTED_USERS = MAX_PARCEL_USERS;
const MAX_ROUTED_TEXT = 262_144;
const MAX_ROUTED_PARCELS = 200;
/** No frame between nodes is over 1 MB (rule DL7): this much is left for the message itself. */
const MAX_MESSAGE_BYTES = 950_000;

export interface RemoteDeliveryOptions {
  readonly post: Pick<Post, 'route'>;
  readonly inbox: Pick<Inbox, 'on'>;
  readonly clock: Clock;
  /** Fresh ids for parcels. */
  readonly newId: () => string;
}

/** A parcel whose nodes have not all answered. */
interface Waiting {
  /** Undefined until the store has said where the users are. */
  routed: Routed | undefined;
  readonly answers: Map<string, ParcelOutcome>;
  /** How long the acknowledgements may take once every node has answered. */
  readonly ackMs: number;
  /** Whether every node has answered, and the time of the acknowledgements runs. */
  awaitsAcks: boolean;
  timer: Timer | undefined;
  readonly finish: () => void;
}

/** Hands messages to the nodes that hold their users, and gathers what becomes of them. It counts nothing. */
export class RemoteDelivery {
  readonly #options: RemoteDeliveryOptions;
  readonly #routes: Batcher<Parcel, Routed>;
  readonly #waiting = new Map<string, Waiting>();
  readonly #encoder = new TextEncoder();

  constructor(options: RemoteDeliveryOptions) {
    this.#options = options;
    this.#routes = new Batcher({
      clock: options.clock,
      run: async (parcels) => (await options.post.route(parcels)).map(ok),
      maxBatch: MAX_ROUTED_PARCELS,
      maxWaiting: MAX_WAITING,
      // Parcels keep their order, also behind a slow script (rule DL4).
      weight: {
        max: 1,
        of: ({ users, fields }) =>
          Math.max(users === 'all' ? 0 : users.length / MAX_ROUTED_USERS, fields.length / MAX_ROUTED_TEXT),
      },
    });
    options.inbox.on('outcomes', ({ from, members }) => this.#hear(from, members['of']));
  }

  /** One outcome for each user, in the order asked. Never rejects. */
  async deliver(request: PushRequest, userIds: readonly number[]): Promise<readonly Delivery[]> {
    const fields = fieldsOf(request);
    if (this.#isTooLong(fields)) return userIds.map((userId) => dropped(userId, 'queue-full'));
    const ackMs = request.ack === true ? (request.timeoutMs ?? DEFAULT_ACK_TIMEOUT_MS) : 0;
    // All are queued in this turn: messages of one sender keep their order (rule DL4).
    const parcels: Promise<readonly Delivery[]>[] = [];
    for (let at = 0; at < userIds.length; at += MAX_PARCEL_USERS)
      parcels.push(this.#deliverParcel(userIds.slice(at, at + MAX_PARCEL_USERS), fields, ackMs));
    return (await Promise.all(parcels)).flat();
  }

  /**
   * What became of a message to everybody on the other nodes. `dropped`: it is too long, or too many parcels wait. `unknown`:
   * the store did not answer. Never rejects.
   */
  async deliverToAll(request: PushRequest): Promise<DeliveryCounts | 'dropped' | 'unknown'> {
    const fields = fieldsOf(request);
    if (this.#isTooLong(fields)) return 'dropped';
    const sent = await this.#send({ users: 'all', fields, ackMs: 0 });
    if (sent === undefined) return 'dropped';
    if (sent.routed === undefined) return 'unknown';
    const counts: Partial<Record<DeliveryStatus, number>> = {};
    for (const { node, users } of sent.routed.nodes) {
      const answer = sent.answers.get(node);
      if (answer === undefined) counts.unknown = (counts.unknown ?? 0) + users;
      for (const [status, count] of Object.entries(answer?.counts ?? {}))
        counts[status as DeliveryStatus] = (counts[status as DeliveryStatus] ?? 0) + count;
    }
    return counts;
  }

  async #deliverParcel(
    users: readonly number[],
    fields: string,
    ackMs: number,
  ): Promise<readonly Delivery[]> {
    const sent = await this.#send({ users, fields, ackMs });
    if (sent === undefined) return users.map((userId) => dropped(userId, 'dispatch-full'));
    const told = new Map<string, ReadonlyMap<number, Delivery>>();
    for (const [node, { deliveries = [] }] of sent.answers)
      told.set(node, new Map(deliveries.map((delivery) => [delivery.userId, delivery])));
    return users.map((userId, index) => {
      const where = sent.routed?.whereabouts[index];
      if (where === undefined) return unknownDelivery(userId);
      if (where === 'offline') return { userId, status: 'offline', connections: 0 };
      if (where === 'no-connection')
        return { userId, status: 'offline', connections: 0, reason: 'no-connection' };
      return where
        .map((node): Delivery => told.get(node)?.get(userId) ?? unknownDelivery(userId))
        .reduce(bestOf);
    });
  }

  /** Resolves once every node has answered, or its time is over; undefined where too many parcels wait. */
  #send(parcel: Omit<Parcel, 'id'> & { readonly ackMs: number }): Promise<Waiting | undefined> {
    if (this.#waiting.size >= MAX_WAITING) return Promise.resolve(undefined);
    const { clock, newId } = this.#options;
    const id = newId();
    const { users, fields, ackMs } = parcel;
    return new Promise((resolve) => {
      const finish = (): void => {
        waiting.timer?.cancel();
        if (this.#waiting.delete(id)) resolve(waiting);
      };
      const waiting: Waiting = {
        routed: undefined,
        answers: new Map(),
        ackMs,
        awaitsAcks: false,
        timer: undefined,
        finish,
      };
      this.#waiting.set(id, waiting);
      void this.#routes.submit({ id, users, fields }).result.then((routed) => {
        if (!routed.ok) return finish();
        waiting.routed = routed.value;
        // What waits for the store is not charged to the nodes.
        waiting.timer = clock.after(ANSWER_MS, finish);
        this.#lookAt(waiting);
      });
    });
  }

  #hear(from: string, value: unknown): boolean {
    if (!Array.isArray(value)) return false;
    const outcomes = value.map(parseOutcome);
    for (const outcome of outcomes) {
      // One that came too late belongs to nobody.
      const waiting = outcome === undefined ? undefined : this.#waiting.get(outcome.id);
      if (outcome === undefined || waiting === undefined) continue;
      waiting.answers.set(from, outcome);
      this.#lookAt(waiting);
    }
    return !outcomes.includes(undefined);
  }

  /** Ends the wait once all answers are there. If clients are asked to acknowledge, the wait goes on to their answers. */
  #lookAt(waiting: Waiting): void {
    const { routed, answers, ackMs, finish } = waiting;
    if (routed === undefined) return;
    const asked = routed.nodes.filter(({ heard }) => heard);
    if (!asked.every(({ node }) => answers.has(node))) return;
    if (ackMs === 0 || !asked.some(({ node }) => answers.get(node)?.awaitsAcks)) return finish();
    if (waiting.awaitsAcks) return;
    waiting.awaitsAcks = true;
    waiting.timer?.cancel();
    waiting.timer = this.#options.clock.after(ackMs + ANSWER_MS, finish);
  }

  #isTooLong(fields: string): boolean {
    // No character takes more than three bytes.
    if (fields.length * 3 <= MAX_MESSAGE_BYTES) return false;
    return fields.length > MAX_MESSAGE_BYTES || this.#encoder.encode(fields).length > MAX_MESSAGE_BYTES;
  }
}

const RANK: Readonly<Record<DeliveryStatus, number>> = {
  acked: 5,
  written: 4,
  queued: 3,
  unknown: 2,
  dropped: 1,
  offline: 0,
};

/** One outcome for a user with two: the better one, with the connections of both. */
export function bestOf(left: Delivery, right: Delivery): Delivery {
  const best = RANK[right.status] > RANK[left.status] ? right : left;
  return { ...best, connections: left.connections + right.connections };
}

function dropped(userId: number, reason: 'queue-full' | 'dispatch-full'): Delivery {
  return { userId, status: 'dropped', connections: 0, reason };
}

function fieldsOf({ type, dataText, ack, timeoutMs }: PushRequest): string {
  const wish = ack === true ? `,"ack":true${timeoutMs === undefined ? '' : `,"timeoutMs":${timeoutMs}`}` : '';
  return `"kind":"parcel","type":${JSON.stringify(type)},"data":${dataText}${wish}`;
}
