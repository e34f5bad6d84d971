import type { Summary } from './statistics.ts';

/** One line of the table. */
export interface Row {
  readonly what: string;
  readonly measured: string | number;
  readonly goal?: string;
  readonly met?: boolean;
}

/** A figure and its bound, as in `<= 5 ms`. A figure that is not a number misses every bound. */
export function bounded(
  what: string,
  value: number,
  bound: {
    readonly atMost?: number;
    readonly atLeast?: number;
    readonly unit: string;
    readonly digits?: number;
  },
): Row {
  const { atMost, atLeast, unit, digits = 0 } = bound;
  const goals = [
    ...(atMost === undefined ? [] : [`<= ${atMost}${unit}`]),
    ...(atLeast === undefined ? [] : [`>= ${atLeast}${unit}`]),
  ];
  const met = value <= (atMost ?? Number.POSITIVE_INFINITY) && value >= (atLeast ?? Number.NEGATIVE_INFINITY);
  const measured = `${value.toFixed(digits)}${unit}`;
  return goals.length === 0 ? { what, measured } : { what, measured, goal: goals.join(', '), met };
}

export function plain(what: string, measured: string | number): Row {
  return { what, measured };
}

/** `half 1.2 ms, 99 % 3.4 ms, worst 5.6 ms` */
export function shown({ half, p99, max }: Summary): string {
  return `half ${half.toFixed(1)} ms, 99 % ${p99.toFixed(1)} ms, worst ${max.toFixed(1)} ms`;
}

/** Lines of a table. `mark` stands before each, so that a small run is not taken for a full one. */
export function linesOf(rows: readonly Row[], mark = ''): readonly string[] {
  const width = Math.max(...rows.map(({ what }) => what.length));
  return rows.map(({ what, measured, goal, met }) => {
    const verdict = goal === undefined ? '' : `   goal ${goal}: ${met === true ? 'met' : 'MISSED'}`;
    return `${mark}${what.padEnd(width)}   ${measured}${verdict}`;
  });
}
