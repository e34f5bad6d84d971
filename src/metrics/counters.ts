import {
  DELIVERY_STATUSES,
  type DeliveryStatus,
  DROP_REASONS,
  type DropReason,
} from '../protocol/delivery.ts';
import { LOGOUT_REASONS, type LogoutReason } from '../protocol/reasons.ts';

/** Upper bounds of the detection-lag histogram, in seconds. */
export const DETECTION_LAG_BUCKETS_S: readonly number[] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];

/** Upper bounds of the histograms of scripts' latency, in seconds. */
export const SCRIPT_BUCKETS_S: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
];

/** A histogram of plain numbers. One observation is one array write. */
export class Histogram {
  readonly bounds: readonly number[];
  /** Observations per bucket, not cumulative; the last one is above every bound. */
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

/** What became of a client message of the application's types. `dropped`: the stream could not take it. */
const INBOUND_OUTCOMES = ['handled', 'written', 'unhandled', 'dropped'] as const;
/** What became of an entry of the push stream. `taken-over` ones have another outcome too. */
const PUSH_STREAM_OUTCOMES = ['handled', 'given-up', 'rejected', 'trimmed', 'taken-over'] as const;

/** The counters: plain numbers on the hot path, read when metrics are scraped. */
export class Counters {
  logins = 0;
  heartbeats = 0;
  malformedMessages = 0;
  /** Clients that left before the answer to their upgrade. They were neither let in nor refused. */
  handshakesLeft = 0;
  /** Users who got one more timeout from the mass-timeout breaker (rule HB6). */
  massTimeoutsHeld = 0;
  stallCreditedMs = 0;
  /** Frames that other nodes sent to this one and that it never got (rule DL7). */
  nodeFramesMissed = 0;
  /** Messages of the push channel that this node lost, because too many waited. */
  pushChannelDropped = 0;
  readonly pushStream: Record<(typeof PUSH_STREAM_OUTCOMES)[number], number> = zeros(PUSH_STREAM_OUTCOMES);
  readonly inbound: Record<(typeof INBOUND_OUTCOMES)[number], number> = zeros(INBOUND_OUTCOMES);
  readonly logouts: Record<LogoutReason, number> = zeros(LOGOUT_REASONS);
  /** Messages to users by the status that the sender got. A `queued` message that is lost later counts as `dropped` too. */
  readonly messages: Record<DeliveryStatus, number> = zeros(DELIVERY_STATUSES);
  /** Messages behind slow sockets that a newer one with the same key replaced. */
  messagesReplaced = 0;
  /** Pushes that delivered nothing because their idempotency key was known, and got the answer of the first one. */
  pushesRepeated = 0;
  readonly dropped: Record<DropReason, number> = zeros(DROP_REASONS);
  /** Refused upgrades by error code. */
  readonly refused = new Map<string, number>();
  /** Exceptions that are bugs, by where they were caught. */
  readonly internalErrors = new Map<string, number>();
  readonly detectionLag = new Histogram(DETECTION_LAG_BUCKETS_S);
  /** Seconds from sending a script to Redis to its answer, by its name. */
  readonly scripts = new Map<string, Histogram>();
  /** Scripts that Redis did not answer, or refused, by their name. */
  readonly scriptFailures = new Map<string, number>();
}

/** A counter for each name. */
function zeros<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
}

/** Redis answered one script after `seconds`, or the script failed. Only the names of our script files occur. */
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

/** The gauges: their values are read with metrics or statistics. */
export interface Gauges {
  usersOnline(): number;
  /** Users that this node holds without a socket: they linger, or are online by HTTP. */
  usersLingering(): number;
  connections(): number;
  /** Logins that wait because the node is busy with others. */
  loginsWaiting(): number;
  /** Broadcasts and lists accepted and not yet handed to every connection. */
  dispatchQueueDepth(): number;
  /** Largest value of {@link dispatchQueueDepth} (`LINGXI_DISPATCH_QUEUE`). */
  dispatchQueueCapacity(): number;
  /** Messages behind slow sockets of this node. */
  queuedMessages(): number;
  /** Largest number of messages behind the socket of one connection (`LINGXI_SEND_QUEUE`). */
  sendQueueCapacity(): number;
  /** Entries of the push stream at the last look. */
  pushStreamLength(): number;
  settlementsPending(): number;
  settlementOldestAgeMs(): number;
  /** Dead letters: logouts that SQL rejected for good, kept for an operator. */
  settlementsSetAside(): number;
  /** Whether SQL answers and takes writes. */
  settlementAvailable(): boolean;
  /** Users whose node is dead and who are not logged out yet. */
  ghosts(): number;
}
