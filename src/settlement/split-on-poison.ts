import { isPermanentError } from './sql-errors.ts';

/**
 * Runs a batch. If it can never succeed, finds the bad rows by halving (at most `2 log2 n` extra runs for each), passes
 * each to `poison` and completes the others. Throws temporary errors.
 */
export async function splitOnPoison<Row>(
  rows: readonly Row[],
  steps: {
    readonly run: (rows: readonly Row[]) => Promise<void>;
    readonly poison: (row: Row, error: unknown) => Promise<void>;
  },
): Promise<void> {
  const [first] = rows;
  if (first === undefined) return;
  try {
    await steps.run(rows);
    return;
  } catch (error) {
    if (!isPermanentError(error)) throw error;
    if (rows.length === 1) {
      await steps.poison(first, error);
      return;
    }
  }
  const middle = rows.length >> 1;
  await splitOnPoison(rows.slice(0, middle), steps);
  await splitOnPoison(rows.slice(middle), steps);
}
