import type { Counts } from './counts.ts';

/** The values of the charts at one time. `null` if a value is not known. */
export interface Sample {
  /** By the clock of this page, in ms. */
  readonly at: number;
  readonly values: Readonly<Record<string, number | null>>;
}

/** One sample a second is stored. */
const STEP_MS = 1_000;
/** An event may come slightly early. */
const EARLY_MS = 100;
/** After a longer silence, the lines of the charts have a gap. */
const GAP_MS = 4_000;
const KEPT_SAMPLES = 3_600;
/** The rates on the tiles are means over this time. */
const RATE_SPAN_MS = 5_000;

interface Totals {
  /** By the clock of the server. */
  readonly at: number;
  readonly basis: string;
  readonly totals: Readonly<Record<string, number>>;
}

/** Computes rates from totals, and keeps an hour of both for the charts. */
export class History {
  readonly samples: Sample[] = [];
  /** Rates of the last seconds by the name of their total; empty until there are two events to compare. */
  rates: Readonly<Record<string, number>> = {};
  /** The values of the legends: gauges of the last event, as on the tiles, and rates of the last sample. */
  newest: Sample['values'] = {};
  #recent: Totals[] = [];
  #sampled: Totals | undefined;

  /** `now` is the time of this page. */
  push(counts: Counts, now: number): void {
    this.#pushRecent(counts);
    this.newest = { ...this.newest, ...gauges(counts) };
    const last = this.samples.at(-1);
    if (last !== undefined && now < last.at) {
      // The clock of this computer was set back, but a chart cannot go back.
      this.samples.length = 0;
    } else if (last !== undefined && now - last.at < STEP_MS - EARLY_MS) return;
    else if (last !== undefined && now - last.at > GAP_MS)
      this.samples.push({ at: last.at + STEP_MS, values: {} });
    const rates = this.#sampled === undefined ? {} : ratesBetween(this.#sampled, counts);
    this.newest = { ...gauges(counts), ...rates };
    this.samples.push({ at: now, values: this.newest });
    this.#sampled = counts;
    if (this.samples.length > KEPT_SAMPLES) this.samples.splice(0, this.samples.length - KEPT_SAMPLES);
  }

  #pushRecent(counts: Counts): void {
    const last = this.#recent.at(-1);
    if (last !== undefined && (last.basis !== counts.basis || last.at >= counts.at)) this.#recent = [];
    this.#recent.push(counts);
    while ((this.#recent[1]?.at ?? Number.POSITIVE_INFINITY) <= counts.at - RATE_SPAN_MS)
      this.#recent.shift();
    const first = this.#recent[0];
    this.rates = first === undefined ? {} : ratesBetween(first, counts);
  }
}

/**
 * Units a second. There is no rate if the totals began again, fell, or come from before a silence: that rate would be a mean over
 * a time that the chart does not show.
 */
export function ratesBetween(earlier: Totals, later: Totals): Readonly<Record<string, number>> {
  const spanMs = later.at - earlier.at;
  if (earlier.basis !== later.basis || spanMs <= 0 || spanMs > RATE_SPAN_MS + GAP_MS) return {};
  const rates: Record<string, number> = {};
  for (const [name, total] of Object.entries(later.totals)) {
    const grown = total - (earlier.totals[name] ?? 0);
    if (grown >= 0) rates[name] = (grown * 1_000) / spanMs;
  }
  return rates;
}

function gauges(counts: Counts): Readonly<Record<string, number | null>> {
  const values: Record<string, number | null> = {
    online: counts.online,
    lingering: counts.lingering,
    connections: counts.connections,
    'lag.p50': counts.lag.p50,
    'lag.p99': counts.lag.p99,
    'lag.max': counts.lag.max,
    'settlement.age': counts.settlement.oldestAgeMs / 1_000,
  };
  for (const [name, depth] of Object.entries(counts.queues)) values[`queues.${name}`] = depth;
  return values;
}

/** Names with the prefix `kind` in any of these records, known ones first, at most `most`. */
export function namesBelow(
  records: readonly Readonly<Record<string, unknown>>[],
  { kind, known, most }: { readonly kind: string; readonly known: readonly string[]; readonly most: number },
): readonly string[] {
  const names = new Set(known);
  for (const record of records)
    for (const key of Object.keys(record))
      if (key.startsWith(`${kind}.`)) names.add(key.slice(kind.length + 1));
  return [...names].slice(0, most);
}
