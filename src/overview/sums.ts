import { DETECTION_LAG_BUCKETS_S } from '../metrics/counters.ts';
import { DELIVERY_STATUSES, DROP_REASONS } from '../protocol/delivery.ts';
import { LOGOUT_REASONS } from '../protocol/reasons.ts';
import type { LiveLag, NodeCounts, Totals } from './api.ts';

/** Largest number of incarnations with separate totals. The totals of further ones are merged permanently. */
const MAX_KNOWN = 200;
/** A node that has just started has counted nothing that the sums missed. */
const NEWBORN_MS = 5_000;
/** The detection lag is measured over this time. */
const LAG_WINDOW_MS = 10_000;

interface Known {
  readonly totals: Totals;
  readonly lag: readonly number[];
}

const BUCKETS = DETECTION_LAG_BUCKETS_S.length + 1;
const NO_LAG: readonly number[] = new Array<number>(BUCKETS).fill(0);
const NOTHING: Totals = {
  logins: 0,
  heartbeats: 0,
  logouts: combined(LOGOUT_REASONS, () => 0),
  messages: combined(DELIVERY_STATUSES, () => 0),
  drops: combined(DROP_REASONS, () => 0),
};

/** Sums of the counts of all nodes. They never fall: the last report of a node stays in them, also after the node's end. */
export class Sums {
  readonly #known = new Map<string, Known>();
  #gone: Known = { totals: NOTHING, lag: NO_LAG };
  #basis = 0;
  #lags: { readonly at: number; readonly lag: readonly number[] }[] = [];

  /** Rises when earlier totals of a node are added to the sums: then the step gives no rate. */
  get basis(): number {
    return this.#basis;
  }

  note(node: string, { totals, lag, uptimeMs }: NodeCounts): void {
    const before = this.#known.get(node);
    if (before === undefined && uptimeMs > NEWBORN_MS) {
      this.#basis += 1;
      this.#lags = [];
    }
    const said = { totals, lag };
    // The order is that of the newest reports, so the first entry is a node that ended long ago.
    this.#known.delete(node);
    this.#known.set(node, before === undefined ? said : joined(before, said, Math.max));
    if (this.#known.size <= MAX_KNOWN) return;
    for (const [oldest, known] of this.#known) {
      this.#known.delete(oldest);
      this.#gone = joined(this.#gone, known, plus);
      break;
    }
  }

  totals(): Totals {
    return this.#sum().totals;
  }

  /** The lag of the last 10 s, from the samples of the calls in that time. */
  detectionLag(at: number): LiveLag {
    const { lag } = this.#sum();
    this.#lags.push({ at, lag });
    while ((this.#lags[1]?.at ?? Number.POSITIVE_INFINITY) <= at - LAG_WINDOW_MS) this.#lags.shift();
    const first = this.#lags[0] ?? { at, lag };
    const overMs = Math.min(LAG_WINDOW_MS, Math.round(at - first.at));
    return { overMs, ...lagOf(lag.map((observed, index) => observed - (first.lag[index] ?? 0))) };
  }

  /** Called when nobody reads for a while. */
  pause(): void {
    this.#lags = [];
  }

  #sum(): Known {
    let sum = this.#gone;
    for (const known of this.#known.values()) sum = joined(sum, known, plus);
    return sum;
  }
}

function plus(left: number, right: number): number {
  return left + right;
}

function joined(left: Known, right: Known, join: (left: number, right: number) => number): Known {
  const [one, other] = [left.totals, right.totals];
  return {
    totals: {
      logins: join(one.logins, other.logins),
      heartbeats: join(one.heartbeats, other.heartbeats),
      logouts: combined(LOGOUT_REASONS, (name) => join(one.logouts[name], other.logouts[name])),
      messages: combined(DELIVERY_STATUSES, (name) => join(one.messages[name], other.messages[name])),
      drops: combined(DROP_REASONS, (name) => join(one.drops[name], other.drops[name])),
    },
    lag: NO_LAG.map((_, index) => join(left.lag[index] ?? 0, right.lag[index] ?? 0)),
  };
}

function combined<Name extends string>(
  names: readonly Name[],
  value: (name: Name) => number,
): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, value(name)])) as Record<Name, number>;
}

/** Quantiles of a histogram in ms, linear within a bucket. */
export function lagOf(buckets: readonly number[]): Omit<LiveLag, 'overMs'> {
  const count = buckets.reduce(plus, 0);
  if (count <= 0) return { count: 0, p50: null, p99: null, max: null };
  const highest = buckets.findLastIndex((observed) => observed > 0);
  return {
    count,
    p50: quantile(buckets, count * 0.5),
    p99: quantile(buckets, count * 0.99),
    max: boundMs(highest),
  };
}

function quantile(buckets: readonly number[], rank: number): number {
  let below = 0;
  for (const [index, observed] of buckets.entries()) {
    if (observed > 0 && below + observed >= rank) {
      const from = index === 0 ? 0 : boundMs(index - 1);
      return Math.round(from + ((boundMs(index) - from) * (rank - below)) / observed);
    }
    below += observed;
  }
  return boundMs(buckets.length - 1);
}

/** The last bucket has no bound, so it counts with the bound of the bucket before it. */
function boundMs(index: number): number {
  return (DETECTION_LAG_BUCKETS_S[Math.min(index, DETECTION_LAG_BUCKETS_S.length - 1)] ?? 0) * 1000;
}
