import type { Timer } from '../../lib/clock.ts';
import { inBackground } from '../../logging/internal-error.ts';
import { responsiveForMs } from '../rules/session-policy.ts';
import { type ClaimAnswer, MAX_BATCH } from '../store/port.ts';
import type { ChangedHolds } from './changed-holds.ts';
import type { UserHold } from './hold.ts';
import type { Holds } from './holds.ts';
import type { LeaseCheck } from './lease.ts';
import type { OnlineUsers } from './online-users.ts';
import type { PresenceOptions, StoreCalls } from './options.ts';
import type { Recovery } from './recovery.ts';

/** A claim that the store did not accept is repeated after this time. */
const RETRY_MS = 100;
/** How often this node checks whether a missing user shows life. After a freeze there may be many such users. */
const LIFE_LOOK_MS = 500;
/** Delay of the claims for changes that happen while a batch is in progress. */
const SOON_MS = 25;
/** Number of times in one `renewalMs` that this node looks for proofs newer than those of the store. */
const LOOKS = 6;
/** Time that a claim may take to reach the store. If it took longer, a live socket would seem silent (rule PR4, ADR 0012). */
const ON_THE_WAY_MS = 500;

/** Two nodes may hold a user, and the row in SQL has room for one name. So each node reports itself again after this time. */
const ROW_TOLD_MS = 60_000;

/** Batches in progress at the same time: the store works on one while this node reads the answer to another. */
const MAX_WORKERS = 3;

type SyncOptions = Pick<PresenceOptions, 'clock' | 'time' | 'ledger' | 'log' | 'pingIntervalMs'> &
  StoreCalls<'renewalMs' | 'claim' | 'read'>;

interface SyncParts {
  readonly holds: Holds;
  readonly changed: ChangedHolds;
  readonly online: OnlineUsers;
  readonly lease: LeaseCheck & { hearLosses(): Promise<void> };
  readonly recovery: Recovery;
}

/**
 * Claims this node's holds in the store: after each change, and regularly. Each try makes a new claim, so a claim that failed
 * or came late needs no repair.
 */
export class Sync {
  /** Monotonic time at which this node last reported to SQL that it holds the period, or first saw the hold. */
  readonly #rowToldAt = new WeakMap<UserHold, number>();
  readonly #options: SyncOptions;
  readonly #parts: SyncParts;
  #scheduled: Timer | undefined;
  #running = false;
  /** How soon another flush must follow; undefined: none must. */
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
    // A responsive socket must look responsive to the store until the next claim arrives.
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

  /** Claims what changed, at the end of this turn of the loop. Changes of one turn share one call. */
  soon(): void {
    this.#scheduled ??= this.#options.clock.defer(() => this.#run());
  }

  /** Claims all changed holds, except those with a call in progress. Never rejects. */
  async flush(): Promise<void> {
    // A hold that changes again waits for the next flush.
    const left = { rounds: Math.ceil(this.#parts.changed.size / MAX_BATCH) };
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
      if (this.#parts.changed.size > 0 && this.#parts.lease.available) this.#later();
    });
    inBackground(this.#options.log, flushed);
  }

  #later(): void {
    this.#scheduled ??= this.#options.clock.after(this.#retryMs ?? SOON_MS, () => this.#run());
  }

  /** Claims the users with a newer proof than the store's, if the store's is older than `oldMs`. */
  #renew(oldMs: number): void {
    if (!this.#parts.lease.available) return;
    const now = this.#options.clock.monotonic();
    for (const hold of this.#parts.holds) {
      if (hold.period === 0) continue;
      if (hold.state.kind === 'held') this.#tellRow(hold, now);
      if (hold.isClaimOutdated(now, oldMs)) this.#parts.changed.add(hold);
    }
    if (this.#parts.changed.size > 0) this.soon();
  }

  /** Rule ST5: if Redis loses its data, the last sign of life of the node in this row counts. */
  #tellRow(hold: UserHold, now: number): void {
    const toldAt = this.#rowToldAt.get(hold);
    if (toldAt !== undefined && now - toldAt < ROW_TOLD_MS) return;
    this.#rowToldAt.set(hold, now);
    if (toldAt === undefined) return;
    this.#options.ledger.moved({ userId: hold.userId, period: hold.period });
  }

  #takeBatch(): UserHold[] {
    const batch: UserHold[] = [];
    for (const hold of this.#parts.changed) {
      if (batch.length === MAX_BATCH) break;
      // A call about this user is in progress. If it does not report this change, the next round does.
      if (hold.locked) continue;
      this.#parts.changed.delete(hold);
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

  /** False if the store did not answer. */
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
      const isHeldInStore = answer?.kind === 'held';
      const groups = isHeldInStore ? answer.groups : undefined;
      hold.answered({ isHeldInStore, claimedCause: claims[index]?.cause ?? '', groups });
      if (answer !== undefined) this.#take(hold, answer, claims[index]?.rev ?? 0);
    });
    return true;
  }

  /** `rev` is the revision of the claim. */
  #take(hold: UserHold, answer: ClaimAnswer, rev: number): void {
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
        void this.#gone(hold, rev).catch(() => this.#again(hold));
        return;
      case 'taken':
        // A proof of life by HTTP on this node stays.
        holds.evict(hold);
        return this.#again(hold);
      case 'no-lease':
        lease.doubt();
        return this.#again(hold);
      default:
        return this.#again(hold);
    }
  }

  /** The store has no such hold: it was taken over, logged out or lost. If no loss explains it, connects the user anew. */
  async #gone(hold: UserHold, rev: number): Promise<void> {
    const { time } = this.#options;
    const { holds, lease, recovery } = this.#parts;
    // The node looks at these each half second. It has heard the losses the first time.
    const isWatched = hold.state.kind === 'missing' && hold.sockets.length > 0;
    if (hold.isAlive(time.now()) && !isWatched) await lease.hearLosses();
    // The store lost its data meanwhile, and has the hold again. Its newest word counts.
    if (hold.isRestoredSince(rev)) return this.#again(hold);
    if (!hold.isAlive(time.now())) return holds.end(hold);
    const asked = hold.endAsked;
    if (asked !== undefined && (await this.#isOver(hold))) {
      holds.forget(hold, asked.reason, asked.note);
      return holds.release(hold);
    }
    const since = hold.missingSince(time.monotonic);
    // The period may have ended while this node was frozen or cut off. A user who shows no life since then stays logged out.
    if (hold.sockets.length > 0 && !hold.livedSince(since)) return this.#again(hold, LIFE_LOOK_MS);
    await recovery.reconnect(hold);
    holds.release(hold);
  }

  /** Whether the period is over. If only a take-over removed the hold, the logout has not happened. */
  async #isOver({ userId, period }: UserHold): Promise<boolean> {
    const [record] = await this.#options.store.read([userId]);
    return record?.status !== 'online' || record.period !== period;
  }

  #again(hold: UserHold, delayMs = RETRY_MS): void {
    this.#retryMs = Math.min(this.#retryMs ?? delayMs, delayMs);
    this.#parts.changed.add(hold);
    this.#parts.holds.release(hold);
    // If the answer came after the flush, nothing else starts another one.
    if (!this.#running && this.#parts.lease.available) this.#later();
  }
}
