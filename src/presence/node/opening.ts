import { sleep } from '../../lib/clock.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import { type Opening, RefusedForGood, type UserFacts } from '../../protocol/periods.ts';
import type { PresenceOptions } from './options.ts';

/** How long a login waits for SQL if it may go on without it (rule ST4). */
const OPENING_WAIT_MS = 500;
/** How long a login waits for the settlement of the user's earlier period (rule ST6), and a logout for its own settlement. */
export const SETTLEMENT_WAIT_MS = 500;

type OpeningOptions = Pick<PresenceOptions, 'ledger' | 'clock' | 'loginResetsTime'>;

/** Whether the user has a row in the users table, needs none, or gets one by the login. */
export function isAdmitted(
  { exists, canExist }: UserFacts,
  { unknownUsers }: Pick<PresenceOptions, 'unknownUsers'>,
): boolean {
  return exists || unknownUsers === 'ignore' || (unknownUsers === 'create' && canExist);
}

/** The period that a login opened, and what SQL said of the user before. */
export interface OpenedPeriod {
  readonly userId: number;
  readonly period: number;
  readonly loginTime: number;
  readonly unsettled: number | undefined;
  readonly facts: UserFacts | undefined;
}

/**
 * Waits a short time for the settlement of the user's earlier period, before the new one opens (rule ST6). Undefined: no duty
 * waits.
 */
export function settleEarlier(
  { ledger }: OpeningOptions,
  { userId, unsettled }: OpenedPeriod,
): Promise<void> | undefined {
  return unsettled === undefined
    ? undefined
    : ledger.settled({ userId, period: unsettled }, SETTLEMENT_WAIT_MS);
}

/**
 * Settles the open row of a period that presence does not know, because the node that held the user is gone (rule ST4). Call
 * it only once the new period is visible. Until then, if Redis lost its data, that node may still come back and claim its
 * period again. Undefined: there is no such row.
 */
export function settleUnknown(
  { ledger, clock }: OpeningOptions,
  { period, loginTime, unsettled, facts }: OpenedPeriod,
): Promise<void> | undefined {
  const newest = facts?.newest;
  // Another node may have begun this opening and written its row.
  if (unsettled !== undefined || newest?.settledAt !== null || newest.period === period) return undefined;
  return Promise.race([
    ledger.reconcile(newest, loginTime).catch(() => {}),
    sleep(clock, SETTLEMENT_WAIT_MS),
  ]);
}

export type OpeningOutcome = 'written' | 'settlement-unavailable' | 'settlement-refused';

/** Writes the row of an opening. `written`: the login may go on. The row is committed, or follows later (rule ST4). */
export function writeOpening(options: OpeningOptions, opening: Opening): Promise<OpeningOutcome> {
  const { ledger, loginResetsTime } = options;
  const outcome = ledger.open(opening).then<OpeningOutcome, OpeningOutcome>(
    () => 'written',
    (error: unknown) => (error instanceof RefusedForGood ? 'settlement-refused' : 'settlement-unavailable'),
  );
  return loginResetsTime ? outcome : writtenInTime(options, opening, outcome);
}

async function writtenInTime(
  { ledger, clock }: OpeningOptions,
  opening: Opening,
  outcome: Promise<OpeningOutcome>,
): Promise<OpeningOutcome> {
  const late = sleep(clock, OPENING_WAIT_MS).then<OpeningOutcome>(() => 'settlement-unavailable');
  const inTime = await Promise.race([outcome, late]);
  if (inTime !== 'settlement-unavailable') return inTime;
  ledger.openLater(opening);
  return 'written';
}

/** What SQL knows of a user. If SQL does not answer, the login goes on only if no setting needs SQL. */
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
