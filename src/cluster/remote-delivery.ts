import { Batcher } from '../lib/batcher.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import { ok } from '../lib/result.ts';
import {
  type Delivery,
  type DeliveryCounts,
  type DeliveryStatus,
  type DropReason,
  type PushRequest,
  sumOf,
  type ToGroups,
  unknownDelivery,
} from '../protocol/delivery.ts';
import type { Inbox } from './inbox.ts';
import { type ParcelOutcome, parseOutcome } from './parcel-outcomes.ts';
import { MAX_PARCEL_USERS, type Parcel, type Post, type Routed } from './post.ts';

/** If a node does not answer for this long, the outcome is unknown (rule DL6). */
const ANSWER_MS = 500;
const DEFAULT_ACK_TIMEOUT_MS = 5000;
/** Largest number of parcels that wait for the store or for answers. */
const MAX_WAITING = 10_000;
/** Largest number of users, characters and parcels in one script. A single larger parcel gets its own script. */
const MAX_ROUTED_USERS = MAX_PARCEL_USERS;
const MAX_ROUTED_TEXT = 262_144;
const MAX_ROUTED_PARCELS = 200;
/** Largest size of a message, so that no frame between nodes is over 1 MB (rule DL7). */
const MAX_MESSAGE_BYTES = 950_000;

export interface RemoteDeliveryOptions {
  readonly post: Pick<Post, 'route'>;
  readonly inbox: Pick<Inbox, 'on'>;
  readonly clock: Clock;
  /** Fresh ids for parcels. */
  readonly newId: () => string;
}

/** A push on its way to other nodes. */
export interface RemotePush extends Omit<PushRequest, 'to'> {
  /** Monotonic ms after which the push expires; infinite if it never does. */
  readonly expiresAt: number;
}

/** A parcel before it is sent. */
interface OutgoingParcel extends Parcel {
  readonly expiresAt: number;
}

/** The outcome of a message to groups on the other nodes. */
export interface GroupOutcome {
  readonly counts: DeliveryCounts;
  readonly quiet: readonly number[];
  readonly silent: number;
}

/** A parcel whose nodes have not all answered. */
interface Waiting {
  /** The parcel expired before it was sent: no node has it. */
  isExpired: boolean;
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

/** Sends messages to the nodes that hold their users, and collects the outcomes. It counts nothing. */
export class RemoteDelivery {
  readonly #options: RemoteDeliveryOptions;
  readonly #routes: Batcher<OutgoingParcel, Routed | 'expired'>;
  readonly #waiting = new Map<string, Waiting>();
  readonly #encoder = new TextEncoder();

  constructor(options: RemoteDeliveryOptions) {
    this.#options = options;
    this.#routes = new Batcher({
      clock: options.clock,
      run: async (parcels) => (await this.#route(parcels)).map(ok),
      maxBatch: MAX_ROUTED_PARCELS,
      maxWaiting: MAX_WAITING,
      // Parcels keep their order, also behind a slow script (rule DL4).
      weight: {
        max: 1,
        of: ({ users, fields }) =>
          Math.max(
            typeof users === 'string' ? 0 : users.length / MAX_ROUTED_USERS,
            fields.length / MAX_ROUTED_TEXT,
          ),
      },
    });
    options.inbox.on('outcomes', ({ from, members }) => this.#hear(from, members['of']));
  }

  /** One outcome for each user, in the order asked. Never rejects. */
  async deliver(request: RemotePush, userIds: readonly number[]): Promise<readonly Delivery[]> {
    const fields = fieldsOf(request);
    const { expiresAt } = request;
    if (this.#isTooLong(fields)) return userIds.map((userId) => dropped(userId, 'queue-full'));
    const ackMs = request.ack === true ? (request.timeoutMs ?? DEFAULT_ACK_TIMEOUT_MS) : 0;
    // All are queued in this turn: messages of one sender keep their order (rule DL4).
    const parcels: Promise<readonly Delivery[]>[] = [];
    for (let at = 0; at < userIds.length; at += MAX_PARCEL_USERS)
      parcels.push(
        this.#deliverParcel({ users: userIds.slice(at, at + MAX_PARCEL_USERS), fields, ackMs, expiresAt }),
      );
    return (await Promise.all(parcels)).flat();
  }

  /**
   * The outcome of a message to all users on the other nodes. A drop reason if it was sent to no node: it is too long
   * (`queue-full`), too many parcels wait (`dispatch-full`), or it expired (`ttl`). `unknown`: the store did not answer. Never
   * rejects.
   */
  async deliverToAll(request: RemotePush): Promise<DeliveryCounts | DropReason | 'unknown'> {
    const fields = fieldsOf(request);
    if (this.#isTooLong(fields)) return 'queue-full';
    const sent = await this.#send({ users: 'all', fields, ackMs: 0, expiresAt: request.expiresAt });
    if (sent === undefined) return 'dispatch-full';
    if (sent.isExpired) return 'ttl';
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

  /**
   * The outcome of a message to members of groups on the other nodes, as {@link deliverToAll}. `quiet`: members that some node
   * holds without a socket. `silent`: number of users of the nodes that did not answer. Never rejects.
   */
  async deliverToGroups(request: RemotePush, to: ToGroups): Promise<GroupOutcome | DropReason | 'unknown'> {
    const fields = `${groupFields(to)},${fieldsOf(request)}`;
    if (this.#isTooLong(fields)) return 'queue-full';
    const ackMs = request.ack === true ? (request.timeoutMs ?? DEFAULT_ACK_TIMEOUT_MS) : 0;
    const { expiresAt } = request;
    const sent = await this.#send({ users: 'groups', fields, ackMs, expiresAt });
    if (sent === undefined) return 'dispatch-full';
    if (sent.isExpired) return 'ttl';
    if (sent.routed === undefined) return 'unknown';
    let counts: DeliveryCounts = {};
    let silent = 0;
    const quiet: number[] = [];
    for (const { node, users } of sent.routed.nodes) {
      const answer = sent.answers.get(node);
      if (answer === undefined) silent += users;
      counts = sumOf(counts, answer?.counts ?? {});
      for (const userId of answer?.quiet ?? []) quiet.push(userId);
    }
    return { counts, quiet, silent };
  }

  async #deliverParcel(
    parcel: UnsentParcel & { readonly users: readonly number[] },
  ): Promise<readonly Delivery[]> {
    const { users } = parcel;
    const sent = await this.#send(parcel);
    if (sent === undefined) return users.map((userId) => dropped(userId, 'dispatch-full'));
    if (sent.isExpired) return users.map((userId) => dropped(userId, 'ttl'));
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

  /** Resolves once every node has answered, or after its time. Undefined: too many parcels wait. */
  #send(parcel: UnsentParcel): Promise<Waiting | undefined> {
    if (this.#waiting.size >= MAX_WAITING) return Promise.resolve(undefined);
    const { clock, newId } = this.#options;
    const id = newId();
    const { users, fields, ackMs, expiresAt } = parcel;
    return new Promise((resolve) => {
      const finish = (): void => {
        waiting.timer?.cancel();
        if (this.#waiting.delete(id)) resolve(waiting);
      };
      const waiting: Waiting = {
        isExpired: false,
        routed: undefined,
        answers: new Map(),
        ackMs,
        awaitsAcks: false,
        timer: undefined,
        finish,
      };
      this.#waiting.set(id, waiting);
      void this.#routes.submit({ id, users, fields, expiresAt }).then((routed) => {
        if (!routed.ok) return finish();
        if (routed.value === 'expired') {
          waiting.isExpired = true;
          return finish();
        }
        waiting.routed = routed.value;
        // The time of the nodes begins only now, when the store has sent the parcel.
        waiting.timer = clock.after(ANSWER_MS, finish);
        this.#lookAt(waiting);
      });
    });
  }

  /** Nodes do not compare clocks, so a parcel carries its remaining time. */
  async #route(parcels: readonly OutgoingParcel[]): Promise<readonly (Routed | 'expired')[]> {
    const now = this.#options.clock.monotonic();
    const living = parcels.filter(({ expiresAt }) => expiresAt > now);
    const routed = living.length === 0 ? [] : await this.#options.post.route(living.map(withTimeLeft(now)));
    const answers = routed.values();
    return parcels.map(({ expiresAt }) => {
      const answer = expiresAt > now ? answers.next() : undefined;
      return answer === undefined || answer.done === true ? 'expired' : answer.value;
    });
  }

  #hear(from: string, value: unknown): boolean {
    if (!Array.isArray(value)) return false;
    const outcomes = value.map(parseOutcome);
    for (const outcome of outcomes) {
      // Nobody waits for an outcome that came too late.
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

/** A message, and where it is to go. */
type UnsentParcel = Omit<OutgoingParcel, 'id'> & { readonly ackMs: number };

function withTimeLeft(now: number): (parcel: OutgoingParcel) => Parcel {
  return ({ id, users, fields, expiresAt }) => ({
    id,
    users,
    fields:
      expiresAt === Number.POSITIVE_INFINITY ? fields : `${fields},"ttlMs":${Math.ceil(expiresAt - now)}`,
  });
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

function dropped(userId: number, reason: DropReason): Delivery {
  return { userId, status: 'dropped', connections: 0, reason };
}

function fieldsOf({ type, dataText, ack, timeoutMs, key, priority }: RemotePush): string {
  const members = [`"kind":"parcel","type":${JSON.stringify(type)},"data":${dataText}`];
  if (ack === true) members.push('"ack":true');
  if (ack === true && timeoutMs !== undefined) members.push(`"timeoutMs":${timeoutMs}`);
  if (key !== undefined) members.push(`"key":${JSON.stringify(key)}`);
  if (priority !== undefined) members.push(`"priority":"${priority}"`);
  return members.join();
}

function groupFields({ groups, except = [] }: ToGroups): string {
  return `"groups":${JSON.stringify(groups)},"except":[${except.join(',')}]`;
}
