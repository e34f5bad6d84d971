import type { DeletedRow, Evidence } from './books.ts';
import type { Login, UserFacts } from './facts.ts';
import { ROUNDING_MS } from './user-case.ts';
import type { World } from './world.ts';

/** The answer to a login that SQL kept waiting (rule ST9). Only after it may the node delete a row. */
const SQL_WAS_LATE = '503 settlement-unavailable';

/**
 * The deleted rows of one user that rule ST4 asks for: SQL took the row late, after its login had been refused. Such a row was
 * open, no client was ever in its period, nobody else saw the period, and the row is gone for good. Every other deletion is a
 * fault.
 */
export function rowsOfRefusedLogins(
  facts: UserFacts,
  evidence: Evidence,
  world: World,
): readonly DeletedRow[] {
  const rows = evidence.periods.get(facts.userId) ?? [];
  return evidence.deleted.filter(
    (deleted) =>
      deleted.userId === facts.userId &&
      deleted.wasOpen &&
      !rows.some(({ period }) => period === deleted.period) &&
      !evidence.feed.events.some(
        ({ userId, period }) => userId === deleted.userId && period === deleted.period,
      ) &&
      !facts.logins.some((login) => mayBeIn(login, deleted)) &&
      facts.logins.some((login) => wasRefused(login, deleted, world)),
  );
}

/** A client without `lingxi.v1` does not know its period, so the time of its login decides. */
function mayBeIn({ via, outcome, welcome, loginTime, from, to }: Login, deleted: DeletedRow): boolean {
  if (outcome !== 'in') return false;
  return via === 'seed'
    ? isWithin(deleted.loginAt, from, to)
    : welcome?.period === deleted.period || loginTime === deleted.loginAt;
}

/** Without an answer the client cannot know, and the node may begin the login even later. */
function wasRefused({ code, life, from, to }: Login, { loginAt }: DeletedRow, world: World): boolean {
  if (code?.startsWith('0 ') === true) return isWithin(loginAt, from, world.latestEffect(life, to));
  return code === SQL_WAS_LATE && isWithin(loginAt, from, to);
}

function isWithin(at: number, from: number, to: number): boolean {
  return at >= from - ROUNDING_MS && at <= to + ROUNDING_MS;
}
