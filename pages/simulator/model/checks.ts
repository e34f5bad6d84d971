import type { Play } from './play.ts';

/** Rules that must hold at every moment. */
export const CHECKS = ['once', 'none-lost', 'not-back', 'exact-time', 'other'] as const;
export type Check = (typeof CHECKS)[number];

export interface Verdict {
  readonly isExact: boolean;
  readonly broken: ReadonlySet<Check>;
  /** The reports of the witnesses, oldest first. */
  readonly violations: readonly string[];
  readonly ended: number;
  readonly settled: number;
  readonly pending: number;
  readonly lost: number;
}

export function verdictOn({ book, deployment }: Play): Verdict {
  const { violations } = deployment.witness;
  const lines = [...book.lines.values()];
  const count = (state: string): number => lines.filter((line) => line.state === state).length;
  const lost = lines.filter(({ isLost }) => isLost).length;
  return {
    isExact: violations.length === 0,
    broken: new Set(violations.map(checkOf)),
    violations,
    ended: lines.length - count('running'),
    settled: count('settled'),
    pending: count('pending') + count('missing') - lost,
    lost,
  };
}

/** The check that a violation breaks, found by its rule and, for violations of the book, by its words. */
export function checkOf(violation: string): Check {
  if (violation.includes('written a second time')) return 'once';
  if (/nobody writes it|no order to write it/.test(violation)) return 'none-lost';
  if (/\[(?:HB1|PR2|PR9|PR11|ST4)\]/.test(violation)) return 'not-back';
  return /\[(?:ST2|ST5)\]/.test(violation) ? 'exact-time' : 'other';
}
