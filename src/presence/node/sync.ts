import type { Timer } from '../../lib/clock.ts';
import { inBackground } from '../../logging/internal-error.ts';
import { responsiveForMs } from '../rules/session-policy.ts';
import { type ClaimAnswer, MAX_BATCH } from '../store/port.ts';
import type { UserHold } from './hold.ts';
import type { Holds } from './holds.ts';
import type { LeaseCheck } from './lease.ts';
import type { OnlineUsers } from './online-users.ts';
import type { PresenceOptions } from './options.ts';
import type { Recovery } from './recovery.ts';
import type { Unstated } from './unstated.ts';

/** A statement that the store did not take is made again after this time. */
const RETRY_MS = 100;
/** How often this node looks whether a missing user shows life: a thawed node may have a great many of them. */
const LIFE_LOOK_MS = 500;
/** Changes made while a call is under way follow it this much later. */
const SOON_MS = 25;
/** How often, in one `renewalMs`, this node looks for proofs that are newer than those of the store. */
const LOOKS = 6;
/** A statement may be on its way for this long before a socket that lives would seem silent (rule PR4, ADR 0012). */
const ON_THE_WAY_MS = 500;

/** Two nodes may hold a user, and SQL names one of them. So each node reports its part again after this time. */
const ROW_TOLD_MS = 60_000;

/** Batches under way at a time: the store works on one while this node takes the answer to another. */
const MAX_WORKERS = 3;

type SyncOptions = Pick<PresenceOptions, 'clock' | 'time' | 'store' | 'ledger' | 'log' | 'pingIntervalMs'>;

interface SyncParts {
  readonly holds: Holds;
  readonly unstated: Unstated;
  readonly online: OnlineUsers;
  readonly lease: LeaseCheck & { hearLosses(): Promise<void> };
  readonly recovery: Recovery;
}

/**
 * Tells the store what this node holds: after each change, and regularly. A statement is computed anew at each try,
 * so that one that failed, or came late, needs no repair.
 */
export class Sync {
  /** Monotonic time at which SQL was last told that a user's period is here, or at which this node first looked. */
  readonly #rowToldAt = new WeakMap<UserHold, number>();
  readonly #options: SyncOptions;
  readonly #parts: SyncParts;
  #scheduled: Timer | undefined;
  #running = false;
  /** How soon the newest flush must be followed by another; undefined: it need not be. */
  #retryMs: number | undefined;
  #renewal: Timer | undefined;

  constructor(options: SyncOptions, parts: SyncParts) {
    this.#options = options;
    this.#parts = parts;
  }

  start(): void {
    const { clock, store } = this.#options;
    if (store.renewalMs === undefined) return;
    const lookMs = store.renewalMs / LOOKS;
    // A responsive socket must look responsive to the store until the next statement arrives.
    const oldMs = Math.max(
      0,
      Math.min(store.renewalMs, responsiveForMs(this.#options) - lookMs - ON_THE_WAY_MS),
    );
    this.#renewal = clock.every(lookMs, () => this.#renew(oldMs));
  }

  stop(): void {
    this.#renewal?.cancel();
    this.#scheduled?.cancel();
  }

  /** States what changed, after this turn of the loop; changes of one turn share their calls. */
  soon(): void {
    this.#scheduled ??= this.#options.clock.defer(() => this.#run());
  }

  /** States every change of each user without another statement under way. Never rejects. */
  async flush(): Promise<void> {
    // A hold that must be stated again waits for the next flush.
    const left = { rounds: Math.ceil(this.#parts.unstated.size / MAX_BATCH) };
    const workers = Array.from({ length: Math.min(MAX_WORKERS, left.rounds) }, () => this.#work(left));
    await Promise.all(workers);
  }

  async #work(left: { rounds: number }): Promise<void> {
    while (left.rounds > 0 && this.#parts.lease.available) {
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
      if (this.#parts.unstated.size > 0 && this.#parts.lease.available) this.#later();
    });
    inBackground(this.#options.log, flushed);
  }

  #later(): void {
    this.#scheduled ??= this.#options.clock.after(this.#retryMs ?? SOON_MS, () => this.#run());
  }

  /** States users with a proof that the store does not know, if the store's own is older than `oldMs`. */
  #renew(oldMs: number): void {
    if (!this.#parts.lease.available) return;
    const now = this.#options.clock.monotonic();
    for (const hold of this.#parts.holds) {
      if (hold.period === 0) continue;
      this.#tellRow(hold, now);
      if (hold.isUntold(now, oldMs)) this.#parts.unstated.add(hold);
    }
    if (this.#parts.unstated.size > 0) this.soon();
  }

  /** Rule ST5: if Redis is lost, the life of a node that still holds the user is what counts. */
  #tellRow(hold: UserHold, now: number): void {
    const toldAt = this.#rowToldAt.get(hold);
    if (toldAt !== undefined && now - toldAt < ROW_TOLD_MS) return;
    this.#rowToldAt.set(hold, now);
    if (toldAt === undefined) return;
    this.#options.ledger.moved({ userId: hold.userId, period: hold.period });
  }

  #takeBatch(): UserHold[] {
    const batch: UserHold[] = [];
    for (const hold of this.#parts.unstated) {
      if (batch.length === MAX_BATCH) break;
      // A statement about this user is under way. Either it says everything, or the next round does.
      if (hold.locked) continue;
      this.#parts.unstated.delete(hold);
      if (hold.isAbsent) continue;
      void hold.lock();
      if (hold.period > 0) batch.push(hold);
      else this.#settleDoubt(hold);
    }
    return batch;
  }

  #settleDoubt(hold: UserHold): void {
    const settled = this.#parts.recovery.settleDoubt(hold).finally(() => this.#parts.holds.release(hold));
    inBackground(this.#options.log, settled);
  }

  /** False where the store did not answer. */
  async #state(batch: readonly UserHold[]): Promise<boolean> {
    const { store, time } = this.#options;
    const { holds, lease } = this.#parts;
    const claims = batch.map((hold) => hold.claim(time, { mode: 'state', rev: holds.nextRev() }));
    let answers: readonly ClaimAnswer[];
    try {
      answers = await store.claim(claims);
    } catch {
      for (const hold of batch) this.#again(hold);
      lease.doubt();
      return false;
    }
    batch.forEach((hold, index) => {
      const answer = answers[index];
      const isHeld = answer?.kind === 'held';
      const groups = isHeld ? answer.groups : undefined;
      hold.answered({ isHeld, statedCause: claims[index]?.cause ?? '', groups });
      if (answer !== undefined) this.#take(hold, answer);
    });
    return true;
  }

  #take(hold: UserHold, answer: ClaimAnswer): void {
    const { holds, online, lease } = this.#parts;
    switch (answer.kind) {
      case 'held':
        return holds.release(hold);
      case 'released':
        return holds.end(hold);
      case 'ended':
        online.periodEnded(answer.end);
        return holds.end(hold);
      case 'gone':
        void this.#gone(hold).catch(() => this.#again(hold));
        return;
      case 'taken':
        // A proof of life by HTTP that this node has stays.
        holds.evict(hold);
        return this.#again(hold);
      case 'no-lease':
        lease.doubt();
        return this.#again(hold);
      default:
        return this.#again(hold);
    }
  }

  /** The store has no such hold: taken over, logged out, or lost. Only if no loss explains it, the user is connected anew. */
  async #gone(hold: UserHold): Promise<void> {
    const { time } = this.#options;
    const { holds, lease, recovery } = this.#parts;
    if (hold.isAlive(time.now()) && hold.state.kind !== 'missing') await lease.hearLosses();
    if (!hold.isAlive(time.now())) return holds.end(hold);
    const asked = hold.endAsked;
    if (asked !== undefined && (await this.#isOver(hold))) {
      holds.forget(hold, asked.reason, asked.note);
    } else if (hold.sockets.length > 0 && !hold.livedSince(hold.missingSince(time.monotonic))) {
      // The period may have ended while this node was away. A user who shows no life afterwards stays logged out.
      return this.#again(hold, LIFE_LOOK_MS);
    } else await recovery.reconnect(hold);
    holds.release(hold);
  }

  /** A hold also goes by a take-over, which ends no period: then the logout that was asked for has not happened. */
  async #isOver({ userId, period }: UserHold): Promise<boolean> {
    const [record] = await this.#options.store.read([userId]);
    return record?.status !== 'online' || record.period !== period;
  }

  #again(hold: UserHold, delayMs = RETRY_MS): void {
    this.#retryMs = Math.min(this.#retryMs ?? delayMs, delayMs);
    this.#parts.unstated.add(hold);
    this.#parts.holds.release(hold);
    // If the answer came after the flush, only this brings the hold back.
    if (!this.#running && this.#parts.lease.available) this.#later();
  }
}
