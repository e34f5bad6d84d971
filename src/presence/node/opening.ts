import { sleep } from '../../lib/clock.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import { type Opening, RefusedForGood, type UserFacts } from '../../protocol/periods.ts';
import type { PresenceOptions } from './options.ts';

/** How long a login waits for SQL where it may go on without (rule ST4). */
const OPENING_WAIT_MS = 500;
/** How long a login waits for the settlement of the user's earlier period (rule ST6), and a logout for its own. */
export const SETTLEMENT_WAIT_MS = 500;

type OpeningOptions = Pick<PresenceOptions, 'ledger' | 'clock' | 'loginResetsTime'>;

/** Whether the user has a row, or may come in without one, or with one that the login makes. */
export function isAdmitted(
  { exists, canExist }: UserFacts,
  { unknownUsers }: Pick<PresenceOptions, 'unknownUsers'>,
): boolean {
  return exists || unknownUsers === 'ignore' || (unknownUsers === 'create' && canExist);
}

/** What a login opened, and what SQL has said of its user. */
export interface OpenedPeriod {
  readonly userId: number;
  readonly period: number;
  readonly loginTime: number;
  readonly unsettled: number | undefined;
  readonly facts: UserFacts | undefined;
}

/** Before a period opens, the duty of the one before it is done, where that does not take too long (rule ST6). */
export async function settleEarlier(
  { ledger }: OpeningOptions,
  { userId, unsettled }: OpenedPeriod,
): Promise<void> {
  if (unsettled !== undefined) await ledger.settled({ userId, period: unsettled }, SETTLEMENT_WAIT_MS);
}

/**
 * Settles the open row of a period that presence knows nothing of: the node that held the user is gone (rule ST4). Only once
 * others see the period that follows it. Until then that node may come back after a loss of the store's memory, and claim
 * its period again.
 */
export async function settleUnknown(
  { ledger, clock }: OpeningOptions,
  { period, loginTime, unsettled, facts }: OpenedPeriod,
): Promise<void> {
  const newest = facts?.newest;
  // Another node may have begun this opening and written its row.
  if (unsettled !== undefined || newest?.settledAt !== null || newest.period === period) return;
  await Promise.race([ledger.reconcile(newest, loginTime).catch(() => {}), sleep(clock, SETTLEMENT_WAIT_MS)]);
}

export type OpeningOutcome = 'written' | 'settlement-unavailable' | 'settlement-refused';

/** Writes the row of an opening. `written`: the login may go on, for the row is committed, or need not be (rule ST4). */
export async function writeOpening(
  { ledger, clock, loginResetsTime }: OpeningOptions,
  opening: Opening,
): Promise<OpeningOutcome> {
  const outcome = ledger.open(opening).then<OpeningOutcome, OpeningOutcome>(
    () => 'written',
    (error: unknown) => (error instanceof RefusedForGood ? 'settlement-refused' : 'settlement-unavailable'),
  );
  if (loginResetsTime) return outcome;
  const late = sleep(clock, OPENING_WAIT_MS).then<OpeningOutcome>(() => 'settlement-unavailable');
  const inTime = await Promise.race([outcome, late]);
  if (inTime !== 'settlement-unavailable') return inTime;
  ledger.openLater(opening);
  return 'written';
}

/** What SQL says of a user. Where it does not answer, a login goes on only if nothing depends on it. */
export async function lookUp(
  options: Pick<PresenceOptions, 'ledger' | 'loginResetsTime' | 'unknownUsers'>,
  userId: number,
): Promise<Result<UserFacts | undefined, 'settlement-unavailable'>> {
  const { ledger, loginResetsTime, unknownUsers } = options;
  try {
    return ok(await ledger.lookup(userId));
  } catch {
    return loginResetsTime || unknownUsers === 'reject' ? err('settlement-unavailable') : ok(undefined);
  }
}
