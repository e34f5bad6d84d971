import {
  DELIVERY_STATUSES,
  type DeliveryStatus,
  DROP_REASONS,
  type DropReason,
} from '../protocol/delivery.ts';
import { LOGOUT_REASONS, type LogoutReason } from '../protocol/reasons.ts';

/** Upper bounds of the detection-lag histogram, in seconds. */
export const DETECTION_LAG_BUCKETS_S: readonly number[] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];

/** Upper bounds of the histograms of script latency, in seconds. */
export const SCRIPT_BUCKETS_S: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
];

/**
 * A histogram of plain numbers. One observation is one array write; prom-client's own hashes labels for each. The dashboard
 * reads the buckets at any moment; prom-client gives them out only as a promise.
 */
export class Histogram {
  readonly bounds: readonly number[];
  /** Observations per bucket, not cumulative. The last bucket is above every bound. */
  readonly buckets: number[];
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.buckets = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    let index = 0;
    while (index < this.bounds.length && value > (this.bounds[index] as number)) index += 1;
    this.buckets[index] = (this.buckets[index] as number) + 1;
    this.sum += value;
    this.count += 1;
  }
}

/** The outcome of a client message of the application's types. `dropped`: the stream did not accept it. */
const INBOUND_OUTCOMES = ['handled', 'written', 'unhandled', 'dropped'] as const;
/** The outcome of an entry of the push stream. A `taken-over` entry has a second outcome too. */
const PUSH_STREAM_OUTCOMES = ['handled', 'given-up', 'rejected', 'trimmed', 'taken-over'] as const;

/** The counters: plain numbers on the hot path, read when metrics are scraped. */
export class Counters {
  logins = 0;
  heartbeats = 0;
  malformedMessages = 0;
  /** Clients that left before the answer to their upgrade. They count neither as accepted nor as refused. */
  handshakesLeft = 0;
  /** Users who got one more timeout from the mass-timeout breaker (rule HB6). */
  massTimeoutsHeld = 0;
  stallCreditedMs = 0;
  /** Frames from other nodes that never reached this node (rule DL7). */
  nodeFramesMissed = 0;
  /** Messages of the push channel that this node dropped, because too many were waiting. */
  pushChannelDropped = 0;
  readonly pushStream: Record<(typeof PUSH_STREAM_OUTCOMES)[number], number> = zeros(PUSH_STREAM_OUTCOMES);
  readonly inbound: Record<(typeof INBOUND_OUTCOMES)[number], number> = zeros(INBOUND_OUTCOMES);
  readonly logouts: Record<LogoutReason, number> = zeros(LOGOUT_REASONS);
  /** Messages to users by the outcome that the sender got. A `queued` message that is lost later also counts as `dropped`. */
  readonly messages: Record<DeliveryStatus, number> = zeros(DELIVERY_STATUSES);
  /** Messages behind slow sockets that a newer message with the same key replaced. */
  messagesReplaced = 0;
  /** Repeated pushes with a known idempotency key. They delivered nothing, and got the first answer. */
  pushesRepeated = 0;
  readonly dropped: Record<DropReason, number> = zeros(DROP_REASONS);
  /** Refused upgrades by error code. */
  readonly refused = new Map<string, number>();
  /** Exceptions that are bugs, by the place where they were caught. */
  readonly internalErrors = new Map<string, number>();
  readonly detectionLag = new Histogram(DETECTION_LAG_BUCKETS_S);
  /** Seconds from the call of a Redis script to its answer, by the script's name. */
  readonly scripts = new Map<string, Histogram>();
  /** Scripts that Redis did not answer, or refused, by name. */
  readonly scriptFailures = new Map<string, number>();
}

/** A counter for each name. */
function zeros<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
}

/** Counts one script that Redis answered after `seconds`, or that failed. Only the names of our script files occur. */
export function countScript(
  counters: Pick<Counters, 'scripts' | 'scriptFailures'>,
  script: { readonly name: string; readonly seconds: number; readonly answered: boolean },
): void {
  const { name, seconds, answered } = script;
  if (!answered) {
    counters.scriptFailures.set(name, (counters.scriptFailures.get(name) ?? 0) + 1);
    return;
  }
  let histogram = counters.scripts.get(name);
  if (histogram === undefined) {
    histogram = new Histogram(SCRIPT_BUCKETS_S);
    counters.scripts.set(name, histogram);
  }
  histogram.observe(seconds);
}

/** The gauges. Their values are read when metrics or statistics are read. */
export interface Gauges {
  usersOnline(): number;
  /** Users that this node holds without a socket: they linger, or are online by HTTP. */
  usersLingering(): number;
  connections(): number;
  /** Logins that wait because the node is busy with others. */
  loginsWaiting(): number;
  /** Broadcasts and lists that are accepted but not yet sent to every connection. */
  dispatchQueueDepth(): number;
  /** Largest value of {@link dispatchQueueDepth} (`LINGXI_DISPATCH_QUEUE`). */
  dispatchQueueCapacity(): number;
  /** Messages behind slow sockets of this node. */
  queuedMessages(): number;
  /** Largest number of messages behind the socket of one connection (`LINGXI_SEND_QUEUE`). */
  sendQueueCapacity(): number;
  /** Number of entries in the push stream at the last check. */
  pushStreamLength(): number;
  settlementsPending(): number;
  settlementOldestAgeMs(): number;
  /** Dead letters: logouts that SQL rejected permanently, kept for an operator. */
  settlementsSetAside(): number;
  /** Whether SQL answers and accepts writes. */
  settlementAvailable(): boolean;
  /** Users on dead nodes who are not logged out yet. */
  orphans(): number;
}
