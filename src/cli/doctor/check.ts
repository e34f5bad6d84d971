import type { Patient } from './patient.ts';

/** One line of the report. */
export interface Check {
  readonly name: string;
  /** Answers what was seen; {@link expect} ends it where that is wrong. */
  run(patient: Patient): Promise<string>;
}

/** What was seen instead of what a check expects. Caught in one place: where the report is written. */
export class Mismatch extends Error {}

/** A mismatch after which no other check can say anything new. */
export class FinalMismatch extends Mismatch {}

export function expect(condition: boolean, seen: string): asserts condition {
  if (!condition) throw new Mismatch(seen);
}
