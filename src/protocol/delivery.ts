export const DELIVERY_STATUSES = ['acked', 'written', 'queued', 'dropped', 'offline', 'unknown'] as const;

/** The outcome of one message to one user (rule DL1). */
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number];

export const DROP_REASONS = ['queue-full', 'dispatch-full', 'rate', 'ttl', 'closed'] as const;

export type DropReason = (typeof DROP_REASONS)[number];

export interface Delivery {
  readonly userId: number;
  readonly status: DeliveryStatus;
  /** Connections that got the message. */
  readonly connections: number;
  /** For `dropped`: a {@link DropReason}. For `offline`: `no-connection` if the user is online without a socket. */
  readonly reason?: DropReason | 'no-connection';
}

export type DeliveryCounts = Readonly<Partial<Record<DeliveryStatus, number>>>;

/** The most urgent one first. In the queue behind a slow socket, a message leaves before all messages with a later priority. */
export const PRIORITIES = ['high', 'normal', 'low'] as const;

export type Priority = (typeof PRIORITIES)[number];

/** What a sender may request about the delivery of a message. */
export interface DeliveryOptions {
  /** Under the overflow policy `conflate` the message replaces a queued one with the same key. */
  readonly key?: string;
  /** Default: `normal`. */
  readonly priority?: Priority;
  /** If no socket accepts the message within this many ms, it is `dropped: ttl`. */
  readonly ttlMs?: number;
}

/** Members of any of the groups, each once, without the users in `except`. */
export interface ToGroups {
  readonly groups: readonly string[];
  readonly except?: readonly number[] | undefined;
}

/** A push in the form of the service. */
export interface PushRequest extends DeliveryOptions {
  readonly to:
    | { readonly userId: number }
    | { readonly userIds: readonly number[] }
    | ToGroups
    | { readonly all: true };
  readonly type: string;
  /** JSON text of `data`, as the sender wrote it. It is never parsed and written again. */
  readonly dataText: string;
  /** Requests an acknowledgement from `lingxi.v1` clients, and waits for it up to `timeoutMs` (default 5000, at most 10000). */
  readonly ack?: boolean;
  readonly timeoutMs?: number;
  /** For 5 minutes, the same push with the same key is delivered only once, and gets the same answer. */
  readonly idempotencyKey?: string;
}

/** `results` is absent for a message to all or to groups. */
export interface PushReport {
  readonly results?: readonly Delivery[];
  readonly counts: DeliveryCounts;
}

/** Number of users with each outcome. */
export function countsOf(deliveries: readonly Delivery[]): DeliveryCounts {
  const counts: Partial<Record<DeliveryStatus, number>> = {};
  for (const { status } of deliveries) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

export function sumOf(left: DeliveryCounts, right: DeliveryCounts): DeliveryCounts {
  const counts: Partial<Record<DeliveryStatus, number>> = { ...left };
  for (const [status, number] of Object.entries(right) as [DeliveryStatus, number][])
    counts[status] = (counts[status] ?? 0) + number;
  return counts;
}

/** The outcome of the message is not known. */
export function unknownDelivery(userId: number): Delivery {
  return { userId, status: 'unknown', connections: 0 };
}
