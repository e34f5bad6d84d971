import type { Summary } from '../../src/cli/bench/statistics.ts';

/** One line of the table. */
export interface Row {
  readonly what: string;
  readonly measured: string | number;
  readonly goal?: string;
  readonly met?: boolean;
  /** The goal is about speed or cost, and needs a complete run. Other goals are checks that every run must meet. */
  readonly isSpeed?: boolean;
  /** The figure as a number, if it is one. */
  readonly value?: number;
  readonly unit?: string;
}

/** The servers that one run compares, in the order of their columns. */
export const SUBJECTS = [
  'floor',
  'bun',
  'ws',
  'socket.io',
  'lingxi-bun',
  'lingxi-node',
  'lingxi-bun-redis',
  'lingxi-node-redis',
] as const;
export type Subject = (typeof SUBJECTS)[number];

export const SUBJECT_NAMES: Readonly<Record<Subject, string>> = {
  floor: 'floor (C)',
  bun: 'Bun.serve',
  ws: 'ws',
  'socket.io': 'Socket.IO',
  'lingxi-bun': 'Lingxi, Bun',
  'lingxi-node': 'Lingxi, Node',
  'lingxi-bun-redis': 'Lingxi, Bun, Redis + PG',
  'lingxi-node-redis': 'Lingxi, Node, Redis + PG',
};

/** One figure of the comparison table. */
export interface Cell {
  /** The head of the line, for example `B1: CPU for 8 s of pings`. */
  readonly line: string;
  readonly subject: Subject;
  readonly value: number;
  readonly unit: string;
  readonly digits?: number;
}

/** A histogram of latencies. */
export interface Curve {
  /** Name of its picture in docs/performance/. */
  readonly id: string;
  readonly title: string;
  readonly summary: Summary;
}

/** The result of a scenario. */
export interface Outcome {
  readonly rows: readonly Row[];
  readonly cells?: readonly Cell[];
  readonly curves?: readonly Curve[];
}

/** A number that must be exactly 0, in a run of any size. */
export function none(what: string, value: number): Row {
  return { what, measured: value, value, goal: '0', met: value === 0 };
}

/** The figures without verdicts on speed, for a run that is too small for verdicts. */
export function withoutSpeedGoals(rows: readonly Row[]): readonly Row[] {
  return rows.map((row) => {
    if (row.isSpeed !== true) return row;
    const { goal: _goal, met: _met, isSpeed: _isSpeed, ...figure } = row;
    return figure;
  });
}

/** A figure and its bound, for example `<= 5 ms`. A figure that is not a number misses every bound. */
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
  const figure = { what, measured, value, unit: unit.trim() };
  return goals.length === 0 ? figure : { ...figure, goal: goals.join(', '), met, isSpeed: true };
}

export function plain(what: string, measured: string | number): Row {
  return typeof measured === 'number' ? { what, measured, value: measured } : { what, measured };
}

/** A goal that could not be measured: the run is incomplete. */
export function unmeasured(what: string, why: string): Row {
  return { what, measured: `not measured: ${why}`, goal: 'measured', met: false, isSpeed: true };
}

/** `half 1.2 ms, 99 % 3.4 ms, worst 5.6 ms` */
export function shown({ half, p99, max }: Summary): string {
  return `half ${half.toFixed(1)} ms, 99 % ${p99.toFixed(1)} ms, worst ${max.toFixed(1)} ms`;
}

/** Lines of a table. Each begins with `mark`, so that a small run does not look like a full one. */
export function linesOf(rows: readonly Row[], mark = ''): readonly string[] {
  const width = Math.max(...rows.map(({ what }) => what.length));
  return rows.map(({ what, measured, goal, met }) => {
    const verdict = goal === undefined ? '' : `   goal ${goal}: ${met === true ? 'met' : 'MISSED'}`;
    return `${mark}${what.padEnd(width)}   ${measured}${verdict}`;
  });
}

/** Several outcomes as one. */
export function joined(outcomes: readonly Outcome[]): Outcome {
  return {
    rows: outcomes.flatMap(({ rows }) => rows),
    cells: outcomes.flatMap(({ cells = [] }) => cells),
    curves: outcomes.flatMap(({ curves = [] }) => curves),
  };
}
