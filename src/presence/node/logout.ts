import { sleep } from '../../lib/clock.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import type { EndedPeriod } from '../../protocol/periods.ts';
import type { LogoutFailure, LogoutRequest } from '../api.ts';
import type { EndAnswer } from '../store/port.ts';
import type { UserHold } from './hold.ts';
import type { Holds } from './holds.ts';
import type { LeaseCheck } from './lease.ts';
import type { OnlineUsers } from './online-users.ts';
import { SETTLEMENT_WAIT_MS } from './opening.ts';
import type { PresenceOptions, StoreCalls } from './options.ts';

/** Number of tries of a logout while the store restores, or while newer connections open between its read and its end. */
const MAX_END_ATTEMPTS = 30;
const END_RETRY_MS = 100;
/** Older than any epoch. For a user without a period, so that the logout ends none that begins meanwhile. */
const NO_EPOCH = 1;

type LogoutOptions = Pick<PresenceOptions, 'clock' | 'ledger'> &
  StoreCalls<'end' | 'running' | 'keepsDuties'>;

interface LogoutParts {
  readonly holds: Holds;
  readonly lease: LeaseCheck;
  readonly online: OnlineUsers;
}

/** Ends periods at the request of the user or of the service. */
export class Logouts {
  readonly #options: LogoutOptions;
  readonly #parts: LogoutParts;

  constructor(options: LogoutOptions, parts: LogoutParts) {
    this.#options = options;
    this.#parts = parts;
  }

  async logout(request: LogoutRequest): Promise<Result<{ logoutTime: number }, LogoutFailure>> {
    const answer = await this.end(request);
    if (answer === undefined || answer.kind === 'young' || answer.kind === 'no-lease')
      return err('presence-unavailable');
    // If the caller named no epoch, another period or many new connections began during the tries.
    if (answer.kind === 'superseded')
      return err(request.epoch === undefined ? 'presence-unavailable' : 'superseded');
    if (answer.kind !== 'ended') return err('not-online');
    return ok({ logoutTime: answer.end.logoutTime });
  }

  /** As {@link logout}, but returns the store's answer. Undefined: the store did not answer. */
  async end(request: LogoutRequest): Promise<EndAnswer | undefined> {
    const { holds, lease } = this.#parts;
    if (!lease.available) return undefined;
    return holds.exclusively(request.userId, async (hold) => {
      try {
        return await this.#endHeld(request, hold);
      } catch {
        lease.doubt();
        return undefined;
      }
    });
  }

  async #endHeld(request: LogoutRequest, hold: UserHold): Promise<EndAnswer> {
    const { holds, online } = this.#parts;
    const askedBefore = hold.endAsked;
    hold.askEnd({ reason: request.reason, note: request.note });
    const answer = await this.#ask(request, hold);
    const isKnown = answer.kind !== 'young' && answer.kind !== 'no-lease';
    hold.askEnd(isKnown ? undefined : askedBefore);
    if (answer.kind === 'ended') {
      online.periodEnded(answer.end);
      await this.#settled(answer.end);
      holds.forget(hold, request.reason, request.note);
    } else if (answer.kind === 'not-online' && askedBefore !== undefined) {
      // The earlier logout happened; its answer was lost.
      holds.forget(hold, askedBefore.reason, askedBefore.note);
    }
    return answer;
  }

  /** Waits until the logout survives a crash of this process. Only then the sockets close and the caller gets the answer. */
  async #settled(ended: EndedPeriod): Promise<void> {
    const { store, ledger } = this.#options;
    if (!store.keepsDuties) await ledger.settled(ended, SETTLEMENT_WAIT_MS);
  }

  /**
   * If the caller names no epoch, reads the newest one first and uses it for all tries. So the logout never ends a period that
   * begins meanwhile. If a newer connection of the same period opens meanwhile, the logout still ends the period (rule PR7). It
   * also ends a period that is about to open, once the opening is recorded: the login began before the logout.
   */
  async #ask(request: LogoutRequest, hold: UserHold): Promise<EndAnswer> {
    const { userId, reason, epoch, blockMs, note } = request;
    const { store, clock } = this.#options;
    const found = epoch === undefined ? await this.#running(userId) : { epoch, period: undefined };
    let named = found.epoch;
    let answer: EndAnswer = { kind: 'not-online' };
    for (let attempt = 0; attempt < MAX_END_ATTEMPTS; attempt += 1) {
      const [first] = await store.end([
        {
          ...{ userId, reason, epoch: named, proofAgeMs: this.#proofAge(hold) },
          ...(blockMs === undefined ? {} : { blockMs }),
          ...(note === undefined ? {} : { note }),
        },
      ]);
      if (first !== undefined) answer = first;
      if (answer.kind === 'ended' || answer.kind === 'not-online') return answer;
      if (answer.kind === 'superseded') {
        // The store changed nothing, so the next try may name the newer epoch.
        const newest = epoch === undefined ? await this.#running(userId) : undefined;
        if (newest?.period === undefined || newest.period !== found.period) return answer;
        named = newest.epoch;
      } else {
        this.#parts.lease.doubt();
        await sleep(clock, END_RETRY_MS);
      }
    }
    return answer;
  }

  async #running(userId: number): Promise<{ readonly epoch: number; readonly period: number | undefined }> {
    return (await this.#options.store.running(userId)) ?? { epoch: NO_EPOCH, period: undefined };
  }

  #proofAge(hold: UserHold): number {
    const age = this.#options.clock.monotonic() - hold.newestProof().monotonic;
    return Number.isFinite(age) ? Math.max(0, Math.round(age)) : -1;
  }
}
