import { UsersLocked } from './user-store.ts';

/** Largest number of tries to write those of one batch whose rows are free: rows may be locked from one try to the next. */
const MAX_TRIES = 4;

/** Those that were not written, for another program locks the rows of their users, and SQL's error. */
export interface LockedRows<Row> {
  readonly locked: readonly Row[];
  readonly cause?: unknown;
}

/** Writes what belongs to users whose rows are free. Rejects with any other error of `write`. */
export async function writeFree<Row extends { readonly userId: number }>(
  rows: readonly Row[],
  write: (free: readonly Row[]) => Promise<void>,
): Promise<LockedRows<Row>> {
  const locked: Row[] = [];
  let free = rows;
  let cause: unknown;
  for (let attempt = 1; free.length > 0 && attempt <= MAX_TRIES; attempt += 1) {
    try {
      await write(free);
      return { locked, cause };
    } catch (error) {
      if (!(error instanceof UsersLocked)) throw error;
      cause = error.cause;
      locked.push(...free.filter(({ userId }) => error.userIds.has(userId)));
      free = free.filter(({ userId }) => !error.userIds.has(userId));
    }
  }
  return { locked: [...locked, ...free], cause };
}
