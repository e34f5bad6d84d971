import type { ServerUnderTest } from './server-under-test.ts';

/** One line of the report. */
export interface Check {
  readonly name: string;
  /** Returns what the check saw. {@link expect} ends the check if that is wrong. */
  run(server: ServerUnderTest): Promise<string>;
}

/** Describes what the check saw instead of the expected result. The code that writes the report catches it. */
export class Mismatch extends Error {}

/** A mismatch that makes all further checks useless. */
export class FinalMismatch extends Mismatch {}

export function expect(condition: boolean, seen: string): asserts condition {
  if (!condition) throw new Mismatch(seen);
}
