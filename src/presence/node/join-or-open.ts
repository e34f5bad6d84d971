import { err, ok, type Result } from '../../lib/result.ts';
import type { PeriodKey, UserFacts } from '../../protocol/periods.ts';
import type { LoginRefusal } from '../api.ts';
import type { ClaimAnswer } from '../store/port.ts';
import type { ChangedHolds } from './changed-holds.ts';
import type { UserHold } from './hold.ts';
import type { Holds } from './holds.ts';
import type { LeaseCheck } from './lease.ts';
import type { Claimant, LoginCalls } from './login-calls.ts';
import type { OnlineUsers } from './online-users.ts';
import { isAdmitted, lookUp, settleEarlier, settleUnknown, writeOpening } from './opening.ts';
import type { PresenceOptions, StoreCalls } from './options.ts';

export type Accepted = Extract<ClaimAnswer, { kind: 'opened' | 'joined' }>;

/**
 * The user is online on this node. `earlierSettled`: the settlement of the row that an earlier period left open. A login
 * waits for it after its socket or proof is held.
 */
export type Entered = Accepted & { readonly earlierSettled?: Promise<void> | undefined };

/** A login, or sockets that connect anew. */
export interface EntryRequest extends Claimant {
  /** Whether one more period may open. Absent: no limit, because the user's sockets are open already. */
  mayOpen?(facts: UserFacts | undefined): boolean;
}

export interface EntryParts {
  readonly holds: Holds;
  readonly changed: ChangedHolds;
  readonly lease: LeaseCheck;
  readonly calls: LoginCalls;
  readonly online: OnlineUsers;
}

type EntryOptions = Pick<PresenceOptions, 'clock' | 'ledger' | 'node' | 'unknownUsers' | 'loginResetsTime'> &
  StoreCalls<'withdraw' | 'knows'>;

/** Brings a user online: claims the user in the store, writes the row of a new period to SQL, then records the period (rules ST4, ST9). */
export class PeriodEntry {
  readonly #options: EntryOptions;
  readonly #parts: EntryParts;

  constructor(options: EntryOptions, parts: EntryParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Joins the running period, or opens one. The caller holds the user's lock (see {@link Holds.exclusively}). */
  async joinOrOpen(hold: UserHold, request: EntryRequest): Promise<Result<Entered, LoginRefusal>> {
    const { holds, lease, calls } = this.#parts;
    if (lease.isRestoring) await lease.restored();
    if (!lease.available) return err('presence-unavailable');
    if (hold.period > 0 && hold.isAlive(holds.now().observed)) {
      const answer = await calls.claim(request);
      if (answer?.kind !== 'opened') return this.#accept(hold, answer);
      // The period ended elsewhere, and another one may have followed. SQL knows, so the node asks SQL first.
      await this.#giveBack(hold, answer.period);
    }
    const facts = await lookUp(this.#options, hold.userId);
    const known = facts.ok ? facts.value : undefined;
    if (known !== undefined && !isAdmitted(known, this.#options)) return err('unknown-user');
    const answer = await calls.claim(request, floorOf(known));
    if (answer?.kind !== 'opened') return this.#accept(hold, answer);
    // Without SQL a user may join a running period (rule ST7), but may not open one (rule ST9).
    if (facts.ok && request.mayOpen?.(known) !== false) return this.#open(hold, answer, known);
    await this.#giveBack(hold, answer.period);
    return facts.ok ? err('rate-limited') : facts;
  }

  /** The store opened no period: the user joins the running one or is refused. */
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

  /** The store accepted the newest claim: this node holds the period. */
  adopt(hold: UserHold, accepted: Accepted): void {
    if (accepted.kind === 'joined' && accepted.period !== hold.period) {
      this.#options.ledger.moved({ userId: hold.userId, period: accepted.period });
    }
    hold.adopt(accepted);
    this.#parts.holds.learnEpoch(accepted.epoch);
  }

  /** The store may have more of this user than this node knows. The next claim corrects it. */
  correctLater(hold: UserHold): void {
    hold.doubt();
    this.#parts.changed.claimSoon(hold);
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
    // The store must not use this number again, even if the opening fails.
    holds.learnEpoch(answer.epoch);
    const opened = { userId, ...answer, facts };
    const earlier = settleEarlier(this.#options, opened);
    if (earlier !== undefined) await earlier;
    const opening = { userId, period, loginAt: loginTime, node };
    const outcome = await writeOpening(this.#options, opening);
    if (outcome !== 'written') {
      // If the store did not answer, another node may continue this opening with its row, or may have done so already.
      if ((await this.#giveBack(hold, period)) && !(await this.#isKept(opening))) ledger.giveUp(opening);
      return err(outcome);
    }
    const visible = await calls.record(userId, period);
    if (!visible.ok || !visible.value) {
      this.#lingerInDoubt(hold);
      return err('presence-unavailable');
    }
    online.periodBegan();
    // Another node began this opening, and its row may be in SQL already.
    if (facts?.newest?.period === period || answer.epoch > period) ledger.moved({ userId, period });
    this.adopt(hold, answer);
    return ok({ ...answer, earlierSettled: settleUnknown(this.#options, opened) });
  }

  /** Withdraws an opening. Returns false if the store did not confirm it. */
  async #giveBack(hold: UserHold, period: number): Promise<boolean> {
    const { userId } = hold;
    // The store must not use this number again, even if it loses its data and its clock steps back.
    this.#parts.holds.learnEpoch(period);
    try {
      await this.#options.store.withdraw([{ userId, period }]);
      return true;
    } catch {
      this.correctLater(hold);
      return false;
    }
  }

  /** Whether another node continues an opening that this node withdrew. Also true if the store does not answer. */
  async #isKept(opening: PeriodKey): Promise<boolean> {
    const known = await this.#options.store.knows([opening]).catch(() => undefined);
    return known?.[0] !== false;
  }

  /** If the answer to a login was lost, the login may have taken the user from another node. So the user lingers on this node. */
  #lingerInDoubt(hold: UserHold): void {
    const { holds } = this.#parts;
    hold.lingerInDoubt(holds.now());
    // The earlier proof may have expired while the login was in progress. Then the timeout wheel no longer has this hold.
    holds.watch(hold);
    this.correctLater(hold);
  }
}

/** A period that SQL has closed must not open again, even if a failover brought its opening back (rule PR2). */
function floorOf(known: UserFacts | undefined): number {
  const newest = known?.newest;
  if (newest === undefined) return 0;
  return newest.settledAt === null ? newest.period : newest.period + 1;
}
