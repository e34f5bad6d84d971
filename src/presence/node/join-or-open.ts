import { err, ok, type Result } from '../../lib/result.ts';
import type { UserFacts } from '../../protocol/periods.ts';
import type { LoginRefusal } from '../api.ts';
import type { Claim, ClaimAnswer } from '../store/port.ts';
import type { UserHold } from './hold.ts';
import type { Holds } from './holds.ts';
import type { LeaseCheck } from './lease.ts';
import type { LoginCalls } from './login-calls.ts';
import type { OnlineUsers } from './online-users.ts';
import { isAdmitted, lookUp, settleEarlier, settleUnknown, writeOpening } from './opening.ts';
import type { PresenceOptions } from './options.ts';
import type { Unstated } from './unstated.ts';

export type Accepted = Extract<ClaimAnswer, { kind: 'opened' | 'joined' }>;

/** The user is in. A login also waits for the row that the period before left open, once its socket or proof is held. */
export type Entered = Accepted & { readonly earlierSettled?: Promise<void> };

/** How a user comes in. */
export interface EntryRequest {
  readonly statement: (floor: number) => Claim;
  readonly hasLeft?: (() => boolean) | undefined;
  /** Whether one more period may open. Absent: the user is here already, so there is no limit. */
  readonly mayOpen?: (facts: UserFacts | undefined) => boolean;
}

export interface EntryParts {
  readonly holds: Holds;
  readonly unstated: Unstated;
  readonly lease: LeaseCheck;
  readonly calls: LoginCalls;
  readonly online: OnlineUsers;
}

type EntryOptions = Pick<
  PresenceOptions,
  'clock' | 'store' | 'ledger' | 'node' | 'unknownUsers' | 'loginResetsTime'
>;

/** Claims a user in the store. A period opens in two steps, with SQL between them (rules ST4, ST9). */
export class PeriodEntry {
  readonly #options: EntryOptions;
  readonly #parts: EntryParts;

  constructor(options: EntryOptions, parts: EntryParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Joins the running period, or opens one. It is this user's turn (see {@link Holds.exclusively}). */
  async joinOrOpen(hold: UserHold, request: EntryRequest): Promise<Result<Entered, LoginRefusal>> {
    const { statement, hasLeft, mayOpen } = request;
    const { holds, lease, calls } = this.#parts;
    if (!(await lease.restored())) return err('presence-unavailable');
    if (hold.period > 0 && hold.isAlive(holds.now().observed)) {
      const answer = await calls.claim(() => statement(0), hasLeft);
      if (answer?.kind !== 'opened') return this.#accept(hold, answer);
      // The period has ended elsewhere, and another one may have followed it. SQL knows that and is asked first.
      await this.#giveBack(hold, answer.period);
    }
    const facts = await lookUp(this.#options, hold.userId);
    const known = facts.ok ? facts.value : undefined;
    if (known !== undefined && !isAdmitted(known, this.#options)) return err('unknown-user');
    const answer = await calls.claim(() => statement(floorOf(known)), hasLeft);
    if (answer?.kind !== 'opened') return this.#accept(hold, answer);
    // Without SQL a running period may be joined (rule ST7); none may open (rule ST9).
    if (facts.ok && mayOpen?.(known) !== false) return this.#open(hold, answer, known);
    await this.#giveBack(hold, answer.period);
    return facts.ok ? err('rate-limited') : facts;
  }

  /** The store did not open a period: the user joins the one that runs, or is refused. */
  #accept(
    hold: UserHold,
    answer: Exclude<ClaimAnswer, { kind: 'opened' }> | undefined,
  ): Result<Accepted, LoginRefusal> {
    switch (answer?.kind) {
      case undefined:
        this.#lingerInDoubt(hold);
        return err('presence-unavailable');
      case 'joined':
        this.adopt(hold, answer);
        return ok(answer);
      case 'refused':
        return err(answer.code);
      case 'taken':
        return err('session-exists');
      default:
        return err('presence-unavailable');
    }
  }

  /** The store accepted the newest statement: this node holds the period. */
  adopt(hold: UserHold, accepted: Accepted): void {
    if (accepted.kind === 'joined' && accepted.period !== hold.period) {
      this.#options.ledger.moved({ userId: hold.userId, period: accepted.period });
    }
    hold.adopt(accepted);
    this.#parts.holds.learnEpoch(accepted.epoch);
  }

  /** What the store has of this user may be more than this node knows of: the next statement says what is true. */
  correctLater(hold: UserHold): void {
    hold.doubt();
    this.#parts.unstated.stateSoon(hold);
    this.#parts.lease.doubt();
  }

  async #open(
    hold: UserHold,
    answer: Extract<Accepted, { kind: 'opened' }>,
    facts: UserFacts | undefined,
  ): Promise<Result<Entered, LoginRefusal>> {
    const { holds, calls, online } = this.#parts;
    const { ledger, node } = this.#options;
    const { userId } = hold;
    const { period, loginTime } = answer;
    // The store must not give this number out again, whatever becomes of the opening.
    holds.learnEpoch(answer.epoch);
    const opened = { userId, ...answer, facts };
    await settleEarlier(this.#options, opened);
    const opening = { userId, period, loginAt: loginTime, node };
    const outcome = await writeOpening(this.#options, opening);
    if (outcome !== 'written') {
      // If the store did not answer, another node may take this opening up, with its row.
      if (await this.#giveBack(hold, period)) ledger.giveUp(opening);
      return err(outcome);
    }
    const visible = await calls.record(userId, period);
    if (visible !== true) {
      this.#lingerInDoubt(hold);
      return err('presence-unavailable');
    }
    online.periodBegan();
    // Another node began this opening and wrote the row.
    if (facts?.newest?.period === period) ledger.moved({ userId, period });
    this.adopt(hold, answer);
    return ok({ ...answer, earlierSettled: settleUnknown(this.#options, opened) });
  }

  /** Returns whether the store has taken it back. */
  async #giveBack(hold: UserHold, period: number): Promise<boolean> {
    const { userId } = hold;
    // The store must not give this number out again, also where it loses its memory and its clock steps back.
    this.#parts.holds.learnEpoch(period);
    try {
      await this.#options.store.withdraw([{ userId, period }]);
      return true;
    } catch {
      this.correctLater(hold);
      return false;
    }
  }

  /** A login whose answer was lost may have taken the user from another node: the user lingers here. */
  #lingerInDoubt(hold: UserHold): void {
    hold.lingerInDoubt(this.#parts.holds.now());
    this.correctLater(hold);
  }
}

/** What SQL has closed must not open again, also if a failover has brought its opening back (rule PR2). */
function floorOf(known: UserFacts | undefined): number {
  const newest = known?.newest;
  if (newest === undefined) return 0;
  return newest.settledAt === null ? newest.period : newest.period + 1;
}
