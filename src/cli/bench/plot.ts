import { BUCKETS_MS, type Summary } from './statistics.ts';

const BAR = 40;

/** A bucket of a histogram with its share of all values. */
export interface Bar {
  readonly label: string;
  readonly count: number;
  readonly share: number;
}

/** The buckets from the first to the last non-empty one. */
export function barsOf({ buckets, count }: Summary): readonly Bar[] {
  const used = buckets.flatMap((value, index) => (value > 0 ? [index] : []));
  const [first, last] = [used[0], used.at(-1)];
  if (first === undefined || last === undefined) return [];
  return buckets.slice(first, last + 1).map((value, place) => {
    const bound = BUCKETS_MS[first + place];
    const label = bound === undefined ? `> ${BUCKETS_MS.at(-1)} ms` : `<= ${bound} ms`;
    return { label, count: value, share: value / count };
  });
}

/** A histogram for a terminal. */
export function plot(title: string, summary: Summary): readonly string[] {
  const bars = barsOf(summary);
  if (bars.length === 0) return [`${title}: nothing arrived`];
  const width = Math.max(...bars.map(({ label }) => label.length));
  const most = Math.max(...bars.map(({ share }) => share));
  const digits = String(Math.max(...bars.map(({ count }) => count))).length;
  return [
    title,
    ...bars.map(({ label, count, share }) => {
      const bar = '█'.repeat(Math.round((share / most) * BAR)) || (count > 0 ? '▏' : '');
      return `  ${label.padStart(width)}  ${String(count).padStart(digits)}  ${bar}`.trimEnd();
    }),
  ];
}
