import type { Timer } from '../../lib/clock.ts';
import { inBackground } from '../../logging/internal-error.ts';
import { livelyForMs } from '../rules/session-policy.ts';
import { type ClaimAnswer, MAX_BATCH } from '../store/port.ts';
import type { UserHold } from './hold.ts';
import type { NodePresence } from './holds.ts';
import type { Logins } from './login.ts';

/** After an answer that asks for it, a statement is made again no sooner than this. */
const RETRY_MS = 100;
/** How often it is looked whether a user whose hold is gone shows life: a thawed node may have a great many. */
const LIFE_LOOK_MS = 500;
/** What became dirty while a call was under way follows it this much later. */
const SOON_MS = 25;
/** Looks at what is newer than the store knows, in one `renewalMs`. */
const LOOKS = 6;
/** A statement may be on its way for this long before a socket that lives would seem silent (rule PR4, ADR 0012). */
const ON_THE_WAY_MS = 500;

/** Two nodes may hold a user, and SQL names one of them: the other tells its part so often, or it would never be named. */
const ROW_TOLD_MS = 60_000;

/** Batches under way at a time: the store works on one while this node takes the answer to another. */
const LANES = 3;

/**
 * Tells the store what this node holds: after each change, and regularly. A statement is computed anew at each try,
 * so that one that failed, or came late, needs no repair.
 */
export class Statements {
  /** Monotonic time at which SQL was last told that a user's period is here, or at which this node first looked. */
  readonly #rowToldAt = new WeakMap<UserHold, number>();
  readonly #presence: NodePresence;
  readonly #logins: Logins;
  #scheduled: Timer | undefined;
  #running = false;
  /** How soon some statement of the newest flush is to be made again; undefined: none is. */
  #retryMs: number | undefined;
  #renewal: Timer | undefined;

  constructor(presence: NodePresence, logins: Logins) {
    this.#presence = presence;
    this.#logins = logins;
  }

  start(): void {
    const { options } = this.#presence;
    const { clock, store } = options;
    if (store.renewalMs === undefined) return;
    const lookMs = store.renewalMs / LOOKS;
    // What was stated last of a lively socket must look lively until the next statement is there.
    const oldMs = Math.max(0, Math.min(store.renewalMs, livelyForMs(options) - lookMs - ON_THE_WAY_MS));
    this.#renewal = clock.every(lookMs, () => this.#renew(oldMs));
  }

  stop(): void {
    this.#renewal?.cancel();
    this.#scheduled?.cancel();
  }

  /** States what is dirty after this turn of the loop; changes of one turn share their calls. */
  soon(): void {
    this.#scheduled ??= this.#presence.options.clock.defer(() => this.#run());
  }

  /** States everything that is dirty and not busy. Never rejects. */
  async flush(): Promise<void> {
    // What asks to be stated again waits for the next flush.
    const left = { rounds: Math.ceil(this.#presence.dirty.size / MAX_BATCH) };
    const lanes = Array.from({ length: Math.min(LANES, left.rounds) }, () => this.#lane(left));
    await Promise.all(lanes);
  }

  async #lane(left: { rounds: number }): Promise<void> {
    while (left.rounds > 0 && this.#presence.available) {
      left.rounds -= 1;
      const batch = this.#takeBatch();
      if (batch.length === 0 || !(await this.#state(batch))) return;
    }
  }

  #run(): void {
    this.#scheduled = undefined;
    if (this.#running) return;
    this.#running = true;
    this.#retryMs = undefined;
    const flushed = this.flush().finally(() => {
      this.#running = false;
      if (this.#presence.dirty.size > 0 && this.#presence.available) this.#later();
    });
    inBackground(this.#presence.options.log, flushed);
  }

  #later(): void {
    this.#scheduled ??= this.#presence.options.clock.after(this.#retryMs ?? SOON_MS, () => this.#run());
  }

  /** States who proved life that the store does not know of, where what it knows is older than `oldMs`. */
  #renew(oldMs: number): void {
    if (!this.#presence.available) return;
    const now = this.#presence.options.clock.monotonic();
    for (const hold of this.#presence.holds.values()) {
      if (hold.period === 0) continue;
      this.#tellRow(hold, now);
      if (hold.isUntold(now, oldMs)) this.#presence.dirty.add(hold);
    }
    if (this.#presence.dirty.size > 0) this.soon();
  }

  /** Rule ST5: should Redis be lost, the life of a node that still holds the user is what counts. */
  #tellRow(hold: UserHold, now: number): void {
    const toldAt = this.#rowToldAt.get(hold);
    if (toldAt !== undefined && now - toldAt < ROW_TOLD_MS) return;
    this.#rowToldAt.set(hold, now);
    if (toldAt === undefined) return;
    this.#presence.options.ledger.moved({ userId: hold.userId, period: hold.period });
  }

  #takeBatch(): UserHold[] {
    const batch: UserHold[] = [];
    for (const hold of this.#presence.dirty) {
      if (batch.length === MAX_BATCH) break;
      // Who is busy states everything anyway, or is taken up in the next round.
      if (hold.locked) continue;
      this.#presence.dirty.delete(hold);
      if (hold.isAbsent) continue;
      void hold.lock();
      if (hold.period > 0) batch.push(hold);
      else this.#settleDoubt(hold);
    }
    return batch;
  }

  #settleDoubt(hold: UserHold): void {
    const settled = this.#logins.settleDoubt(hold).finally(() => this.#presence.release(hold));
    inBackground(this.#presence.options.log, settled);
  }

  /** False where the store did not answer. */
  async #state(batch: readonly UserHold[]): Promise<boolean> {
    const { options, time } = this.#presence;
    const claims = batch.map((hold) => hold.claim(time, { mode: 'state', rev: this.#presence.nextRev() }));
    let answers: readonly ClaimAnswer[];
    try {
      answers = await options.store.claim(claims);
    } catch {
      for (const hold of batch) this.#again(hold);
      this.#presence.leaseDoubtful();
      return false;
    }
    batch.forEach((hold, index) => {
      const answer = answers[index];
      hold.answered({ isHeld: answer?.kind === 'held', statedCause: claims[index]?.cause ?? '' });
      if (answer !== undefined) this.#take(hold, answer);
    });
    return true;
  }

  #take(hold: UserHold, answer: ClaimAnswer): void {
    switch (answer.kind) {
      case 'held':
        return this.#presence.release(hold);
      case 'released':
        return this.#letGo(hold);
      case 'ended':
        this.#presence.periodEnded(answer.end);
        return this.#letGo(hold);
      case 'gone':
        void this.#gone(hold).catch(() => this.#again(hold));
        return;
      case 'taken':
        // A proof of life by HTTP that this node has stays.
        this.#presence.throwOut(hold);
        return this.#again(hold);
      case 'no-lease':
        this.#presence.leaseDoubtful();
        return this.#again(hold);
      default:
        return this.#again(hold);
    }
  }

  /** Taken over, logged out, or lost: only what no loss explains is connected anew. */
  async #gone(hold: UserHold): Promise<void> {
    const { time } = this.#presence;
    if (hold.isAlive(time.now()) && hold.state.kind !== 'missing') await this.#presence.hearLosses();
    if (!hold.isAlive(time.now())) return this.#letGo(hold);
    if (hold.endAsked !== undefined) {
      this.#presence.forget(hold, hold.endAsked.reason, hold.endAsked.note);
    } else if (hold.sockets.length > 0 && !hold.livedSince(hold.missingSince(time.monotonic))) {
      // The period may have been ended while this node was away: who shows no life after that stays logged out.
      return this.#again(hold, LIFE_LOOK_MS);
    } else await this.#logins.reclaim(hold);
    this.#presence.release(hold);
  }

  /** The store knows that nothing is held here; a login may have come meanwhile, it waits for the lock. */
  #letGo(hold: UserHold): void {
    hold.end();
    this.#presence.manager.monitor.unwatch(hold);
    this.#presence.release(hold);
  }

  #again(hold: UserHold, delayMs = RETRY_MS): void {
    this.#retryMs = Math.min(this.#retryMs ?? delayMs, delayMs);
    this.#presence.dirty.add(hold);
    this.#presence.release(hold);
    // Where it took more than this flush to find out, nobody comes back to it otherwise.
    if (!this.#running && this.#presence.available) this.#later();
  }
}
