import type { Clock } from '../lib/clock.ts';
import type { Counters } from '../metrics/counters.ts';
import type { Delivery, Priority } from '../protocol/delivery.ts';
import type { EnvelopeEncoder } from '../protocol/envelope.ts';
import { receiverId } from './acknowledgements.ts';
import type { ClientConnection } from './client-connection.ts';
import { type FrameOutcome, isExpired, type QueueTraits } from './send-queue.ts';

/** What a sender may request of a message besides its delivery. */
export interface OutgoingOptions {
  /** Whether `lingxi.v1` clients must acknowledge. */
  readonly ack?: boolean | undefined;
  readonly key?: string | undefined;
  readonly priority?: Priority | undefined;
  /** Monotonic ms; absent: the message does not expire. */
  readonly expiresAt?: number | undefined;
}

/** A message encoded once for any number of receivers (rule DL2). */
export interface Outgoing extends QueueTraits {
  /** Present if `lingxi.v1` clients must acknowledge. Each user's copy gets its own id from it. */
  readonly id: string | undefined;
  frameFor(connection: ClientConnection): string;
}

export function outgoing(encoder: EnvelopeEncoder, traits: QueueTraits, id: string | undefined): Outgoing {
  const { type, key, priority, expiresAt } = traits;
  return {
    type,
    key,
    priority,
    expiresAt,
    id,
    frameFor({ userId, speaksV1 }) {
      return id !== undefined && speaksV1
        ? encoder.forUserWithId(userId, receiverId(id, userId))
        : encoder.forUser(userId);
    },
  };
}

/** One user, and those connections of the user that get the message. */
export interface Receiver {
  readonly userId: number;
  readonly connections: readonly ClientConnection[];
}

/** Sends the message to each connection and returns the best outcome. Counts nothing. */
export function deliver(message: Outgoing, receiver: Receiver, clock: Pick<Clock, 'monotonic'>): Delivery {
  const { userId, connections } = receiver;
  if (connections.length === 0) return { userId, status: 'offline', connections: 0 };
  if (isExpired(message, clock)) return { userId, status: 'dropped', connections: 0, reason: 'ttl' };
  return handOver(message, userId, connections);
}

/** Counts the outcome of one message to one user. The function that answers the sender calls it. */
export function countDelivery(counters: Counters, delivery: Delivery): void {
  counters.messages[delivery.status] += 1;
  // A full queue has already counted its losses.
  if (
    delivery.reason !== undefined &&
    delivery.reason !== 'no-connection' &&
    delivery.reason !== 'queue-full'
  ) {
    counters.dropped[delivery.reason] += 1;
  }
}

/** Counts a broadcast that the dispatch queue refused: one message for each user here. */
export function countMissed(counters: Counters, users: number): void {
  counters.messages.dropped += users;
  counters.dropped['dispatch-full'] += users;
}

const RANK: Readonly<Record<FrameOutcome, number>> = { closed: 0, 'queue-full': 1, queued: 2, written: 3 };

function handOver(message: Outgoing, userId: number, connections: readonly ClientConnection[]): Delivery {
  let handedTo = 0;
  let best: FrameOutcome = 'closed';
  for (const connection of connections) {
    const outcome = connection.send(message.frameFor(connection), message);
    if (outcome === 'written' || outcome === 'queued') handedTo += 1;
    if (RANK[outcome] > RANK[best]) best = outcome;
  }
  if (best === 'written' || best === 'queued') return { userId, status: best, connections: handedTo };
  return { userId, status: 'dropped', connections: 0, reason: best };
}
