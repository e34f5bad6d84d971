export const DELIVERY_STATUSES = ['acked', 'written', 'queued', 'dropped', 'offline', 'unknown'] as const;

/** What is known of one message to one user (rule DL1). */
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number];

export const DROP_REASONS = ['queue-full', 'dispatch-full', 'rate', 'closed'] as const;

export type DropReason = (typeof DROP_REASONS)[number];

export interface Delivery {
  readonly userId: number;
  readonly status: DeliveryStatus;
  /** Connections that the message was handed to. */
  readonly connections: number;
  /** For `dropped` a {@link DropReason}; for `offline` `no-connection` where the user is online without a socket. */
  readonly reason?: DropReason | 'no-connection';
}

export type DeliveryCounts = Readonly<Partial<Record<DeliveryStatus, number>>>;

/** A push as the service states it. */
export interface PushRequest {
  readonly to: { readonly userId: number } | { readonly userIds: readonly number[] } | { readonly all: true };
  readonly type: string;
  /** JSON text of `data`, as the sender wrote it: it is never parsed and written again. */
  readonly dataText: string;
  /** Ask `lingxi.v1` clients to acknowledge, and wait for it up to `timeoutMs` (default 5000, at most 10000). */
  readonly ack?: boolean;
  readonly timeoutMs?: number;
}

/** `results` is absent for a message to all. */
export interface PushReport {
  readonly results?: readonly Delivery[];
  readonly counts: DeliveryCounts;
}

/** Nobody knows what became of the message. */
export function unknownDelivery(userId: number): Delivery {
  return { userId, status: 'unknown', connections: 0 };
}
