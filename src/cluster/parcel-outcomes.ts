import {
  DELIVERY_STATUSES,
  type Delivery,
  type DeliveryCounts,
  type DeliveryStatus,
  DROP_REASONS,
  type DropReason,
} from '../protocol/delivery.ts';

/** The answer of one node to one parcel. */
export interface ParcelOutcome {
  readonly id: string;
  /** Absent for a parcel to all or to groups. */
  readonly deliveries?: readonly Delivery[];
  /** For a parcel to all or to groups. */
  readonly counts?: DeliveryCounts;
  /** For a parcel to groups: members that the node holds without a socket. */
  readonly quiet?: readonly number[];
  /** A second answer to the same parcel follows, with the acknowledgements. */
  readonly awaitsAcks: boolean;
}

const STATUSES: ReadonlySet<unknown> = new Set(DELIVERY_STATUSES);
const REASONS: ReadonlySet<unknown> = new Set([...DROP_REASONS, 'no-connection']);

/**
 * An outcome as JSON text: `{"id":…,"out":[[userId,status,connections,reason?]…],"acks":true?}`, or `counts` and `quiet?` in
 * place of `out`. It is written by hand: no object per receiver is made for it.
 */
export function outcomeText({ id, deliveries, counts, quiet, awaitsAcks }: ParcelOutcome): string {
  const acks = awaitsAcks ? ',"acks":true' : '';
  const what =
    deliveries === undefined
      ? `"counts":${JSON.stringify(counts ?? {})}${quiet === undefined ? '' : `,"quiet":[${quiet.join(',')}]`}`
      : `"out":[${deliveries.map(deliveryText).join(',')}]`;
  return `{"id":${JSON.stringify(id)},${what}${acks}}`;
}

function deliveryText({ userId, status, connections, reason }: Delivery): string {
  return `[${userId},"${status}",${connections}${reason === undefined ? '' : `,"${reason}"`}]`;
}

/** Undefined if the value has the wrong shape. */
export function parseOutcome(value: unknown): ParcelOutcome | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { id, out, counts, quiet = [], acks } = value as Readonly<Record<string, unknown>>;
  if (typeof id !== 'string') return undefined;
  const awaitsAcks = acks === true;
  if (counts !== undefined) {
    const parsed = parseCounts(counts);
    if (!Array.isArray(quiet) || !quiet.every(isCount)) return undefined;
    return parsed && { id, counts: parsed, quiet, awaitsAcks };
  }
  if (!Array.isArray(out)) return undefined;
  const deliveries: Delivery[] = [];
  for (const item of out) {
    const delivery = parseDelivery(item);
    if (delivery === undefined) return undefined;
    deliveries.push(delivery);
  }
  return { id, deliveries, awaitsAcks };
}

function parseDelivery(item: unknown): Delivery | undefined {
  if (!Array.isArray(item)) return undefined;
  const [userId, status, connections, reason] = item as readonly unknown[];
  if (!isCount(userId) || !isCount(connections) || !isStatus(status)) return undefined;
  if (reason === undefined) return { userId, status, connections };
  return isReason(reason) ? { userId, status, connections, reason } : undefined;
}

export function parseCounts(value: unknown): DeliveryCounts | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const counts: Partial<Record<DeliveryStatus, number>> = {};
  for (const [status, count] of Object.entries(value)) {
    if (!isStatus(status) || !isCount(count)) return undefined;
    counts[status] = count;
  }
  return counts;
}

function isStatus(value: unknown): value is DeliveryStatus {
  return STATUSES.has(value);
}

function isReason(value: unknown): value is DropReason | 'no-connection' {
  return REASONS.has(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
