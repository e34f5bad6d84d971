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
import type { PresenceOptions } from './options.ts';

/** How often a logout is tried while the store restores, or while newer connections come between its two steps. */
const MAX_END_ATTEMPTS = 30;
const END_RETRY_MS = 100;
/** Older than any epoch: for a user without a record. It ends nothing that begins meanwhile. */
const NO_EPOCH = 1;

type LogoutOptions = Pick<PresenceOptions, 'clock' | 'store' | 'ledger'>;

interface LogoutParts {
  readonly holds: Holds;
  readonly lease: LeaseCheck;
  readonly online: OnlineUsers;
}

/** Ends periods because somebody asks for it: the user, or the service. */
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
    // Without a named epoch it only means that another period, or many connections, began while this was tried.
    if (answer.kind === 'superseded')
      return err(request.epoch === undefined ? 'presence-unavailable' : 'superseded');
    if (answer.kind !== 'ended') return err('not-online');
    return ok({ logoutTime: answer.end.logoutTime });
  }

  /** As {@link logout}, with the answer of the store. Undefined: the store did not answer. */
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
      // The earlier logout happened: only its answer was lost.
      holds.forget(hold, askedBefore.reason, askedBefore.note);
    }
    return answer;
  }

  /** The closes of the sockets and the answer by HTTP say that the user is logged out: that must outlive this process. */
  async #settled(ended: EndedPeriod): Promise<void> {
    const { store, ledger } = this.#options;
    if (!store.keepsDuties) await ledger.settled(ended, SETTLEMENT_WAIT_MS);
  }

  /**
   * A logout without an epoch reads it first, and its retries carry the same one: a period that began meanwhile is not
   * meant. A newer connection of the period that was found does not save it (rule PR7).
   */
  async #ask(request: LogoutRequest, hold: UserHold): Promise<EndAnswer> {
    const { userId, reason, epoch, blockMs, note } = request;
    const { store, clock } = this.#options;
    const found = epoch === undefined ? await this.#newest(userId) : { epoch, period: undefined };
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
        // Nothing has happened yet, so this asks anew rather than again.
        const newest = epoch === undefined ? await this.#newest(userId) : undefined;
        if (newest?.period === undefined || newest.period !== found.period) return answer;
        named = newest.epoch;
      } else {
        this.#parts.lease.doubt();
        await sleep(clock, END_RETRY_MS);
      }
    }
    return answer;
  }

  async #newest(userId: number): Promise<{ readonly epoch: number; readonly period: number | undefined }> {
    const [record] = await this.#options.store.read([userId]);
    return { epoch: record?.epoch ?? NO_EPOCH, period: record?.period };
  }

  #proofAge(hold: UserHold): number {
    const age = this.#options.clock.monotonic() - hold.newestProof().monotonic;
    return Number.isFinite(age) ? Math.max(0, Math.round(age)) : -1;
  }
}
