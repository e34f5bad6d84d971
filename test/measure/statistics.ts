/** What many latencies come to, in ms; all NaN where there is none. */
export interface Summary {
  readonly count: number;
  readonly min: number;
  readonly half: number;
  readonly p99: number;
  readonly max: number;
}

export function ascending(values: Iterable<number>): readonly number[] {
  return [...values].sort((left, right) => left - right);
}

/** The smallest value that at least `share` of the values do not exceed (nearest rank); NaN of nothing. */
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
  };
}

/** How many events of a steady rate are due after `elapsedMs`; the first is due at once. */
export function dueCount(elapsedMs: number, perSecond: number): number {
  return elapsedMs < 0 ? 0 : Math.floor((elapsedMs * perSecond) / 1000) + 1;
}

/** When event `index` of a steady rate is to happen, in ms after the first. */
export function intendedMs(index: number, perSecond: number): number {
  return (index * 1000) / perSecond;
}
