import type { UserHold } from './hold.ts';
import type { EntryParts, PeriodEntry } from './join-or-open.ts';
import type { PresenceOptions } from './options.ts';

interface RecoveryParts extends EntryParts {
  readonly entry: PeriodEntry;
}

/** Repairs a hold that the store no longer has or may have. The caller holds the user's lock (see `Holds.exclusively`). */
export class Recovery {
  readonly #options: Pick<PresenceOptions, 'time'>;
  readonly #parts: RecoveryParts;

  constructor(options: Pick<PresenceOptions, 'time'>, parts: RecoveryParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** The store no longer has this hold, but the user is still here: connects the user anew (rule PR9). */
  async reconnect(hold: UserHold): Promise<void> {
    const { holds, changed, entry } = this.#parts;
    if (hold.sockets.length === 0) return this.#prolong(hold);
    const entered = await entry.joinOrOpen(hold, {
      makeClaim: (floor) =>
        hold.claim(this.#options.time, { mode: 'socket', rev: holds.nextRev(), floor, reopens: true }),
    });
    if (entered.ok) {
      hold.renewEpoch(entered.value.epoch);
      holds.watch(hold);
    } else if (entered.error === 'session-exists') {
      // Another node has taken the user over (rule PR9). A proof by HTTP on this node stays.
      holds.evict(hold);
      changed.claimSoon(hold);
    } else if (entered.error !== 'presence-unavailable' && entered.error !== 'settlement-unavailable') {
      holds.forget(hold, 'presence-lost');
    } else if (hold.sockets.some(({ kind }) => kind === 'open')) {
      changed.add(hold);
    }
  }

  /** Finds out what the store has after a login without an answer. This node holds no period of the user. */
  async settleDoubt(hold: UserHold): Promise<void> {
    const { holds, calls, online, entry } = this.#parts;
    const { time } = this.#options;
    if (hold.isAlive(time.now())) return this.#prolong(hold);
    // The store drops an opening that was not recorded.
    hold.forget();
    const answer = await calls.claim({
      makeClaim: () => hold.claim(time, { mode: 'state', rev: holds.nextRev() }),
    });
    if (answer === undefined) entry.correctLater(hold);
    else if (answer.kind === 'ended') online.periodEnded(answer.end);
  }

  /** A user without a socket cannot connect anew. But an unexpired proof counts if another node holds the user. */
  async #prolong(hold: UserHold): Promise<void> {
    const { holds, changed, calls, entry } = this.#parts;
    const answer = await calls.claim({
      makeClaim: () => hold.claim(this.#options.time, { mode: 'beat', rev: holds.nextRev() }),
    });
    if (answer?.kind === 'joined') {
      entry.adopt(hold, answer);
      holds.watch(hold);
    } else if (answer?.kind === 'not-online') {
      holds.forget(hold, 'presence-lost');
      // The store may still have an opening of this node that was not recorded.
      hold.doubt();
      changed.claimSoon(hold);
    } else entry.correctLater(hold);
  }
}
