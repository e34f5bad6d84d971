/** A summary of latencies, in ms; all values are NaN without a latency. */
export interface Summary {
  readonly count: number;
  readonly min: number;
  readonly half: number;
  readonly p99: number;
  readonly max: number;
  /** Number of values in each of {@link BUCKETS_MS}. The last one counts the values above all of them. */
  readonly buckets: readonly number[];
}

/** Upper bounds of the buckets of a latency histogram. */
export const BUCKETS_MS: readonly number[] = [
  0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000,
];

export function ascending(values: Iterable<number>): readonly number[] {
  return [...values].sort((left, right) => left - right);
}

/** The smallest value that at least `share` of the values do not exceed (nearest rank); NaN without a value. */
export function percentile(sorted: readonly number[], share: number): number {
  const rank = Math.max(1, Math.ceil(share * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}

export function summarize(values: Iterable<number>): Summary {
  const sorted = ascending(values);
  return {
    count: sorted.length,
    min: sorted[0] ?? Number.NaN,
    half: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    max: sorted.at(-1) ?? Number.NaN,
    buckets: bucketsOf(sorted),
  };
}

function bucketsOf(values: Iterable<number>): readonly number[] {
  const counts: number[] = new Array<number>(BUCKETS_MS.length + 1).fill(0);
  for (const value of values) {
    const place = BUCKETS_MS.findIndex((bound) => value <= bound);
    const index = place < 0 ? BUCKETS_MS.length : place;
    counts[index] = (counts[index] ?? 0) + 1;
  }
  return counts;
}

/** Number of events of a steady rate that are due after `elapsedMs`; the first is due at once. */
export function dueCount(elapsedMs: number, perSecond: number): number {
  return elapsedMs < 0 ? 0 : Math.floor((elapsedMs * perSecond) / 1000) + 1;
}

/** The due time of event `index` of a steady rate, in ms after the first event. */
export function intendedMs(index: number, perSecond: number): number {
  return (index * 1000) / perSecond;
}
