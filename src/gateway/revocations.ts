import type { Clock, Timer } from '../lib/clock.ts';
import { inBackground } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import { isIssuedAfter } from '../protocol/revoked.ts';

/** A node reads the revocations of other nodes at this interval. */
const SYNC_MS = 500;
/** Revocations beyond their retention are removed at this interval. */
const PRUNE_MS = 3_600_000;
/** Largest number of users with a revocation. Beyond it, the oldest revocations are removed. */
export const MAX_REVOCATIONS = 100_000;
/** Share of them that is removed at once, so that not every further one needs a search. */
const DROPPED_SHARE = 0.01;
/** Number of revocations that one turn of the event loop handles. */
const SLICE = 5_000;
/** A revocation that is ahead of this node's clock by more than this causes a line in the log. */
const MAX_AHEAD_MS = 60_000;

/** The user's tokens that were issued at `at` (wall-clock ms) or earlier are void. */
export interface Revocation {
  readonly userId: number;
  readonly at: number;
}

/** Keeps revocations beyond the life of this process. Of two times for one user it keeps the later one. */
export interface RevocationStore {
  /** Keeps these. If it rejects, it may have kept them or not. */
  put(revocations: readonly Revocation[]): Promise<void>;
  /**
   * Returns the revocations since the last call, including those {@link put} by this node. If the store cannot tell which ones
   * are new, it returns all (`isAll`).
   */
  read(): Promise<{ readonly revocations: readonly Revocation[]; readonly isAll: boolean }>;
  /** Removes the revocations of `at` (wall-clock ms) and earlier. */
  forget(at: number): Promise<void>;
  /** The wall clock (ms) of the store, if it has its own. */
  readonly now?: () => Promise<number>;
}

export interface RevocationsOptions {
  readonly store: RevocationStore;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a revocation is kept. */
  readonly retentionMs: number;
  /** This node has learnt of a revocation: it must end its connections of that user. */
  readonly revoked: (revocation: Revocation) => void;
}

/**
 * Knows which users' tokens are void, and since when. Each node keeps all revocations in memory, so no check leaves the process.
 * It reads the store every half second, and writes back what the store has lost. Times only grow, so these steps are safe in any
 * order. The store's revocations count, whatever the clock of this node says: a machine may start with a clock that is wrong by
 * months.
 */
export class Revocations {
  readonly #options: RevocationsOptions;
  readonly #known = new Map<number, number>();
  /**
   * Revocations that the store may not have, because no read has returned them. The answer to a write is not enough: a failover
   * may undo a write that was answered.
   */
  readonly #unkept = new Map<number, number>();
  readonly #timers: Timer[] = [];
  #isLoaded = false;
  #isFailing = false;
  #isAheadSaid = false;
  /** The revocations that were too old at the last check. */
  #oldBefore = -Infinity;
  #syncing: Promise<void> | undefined;

  constructor(options: RevocationsOptions) {
    this.#options = options;
  }

  /** Reads the store, if it answers, and then checks for changes at an interval. */
  async start(): Promise<void> {
    const { clock, log } = this.#options;
    await this.#sync();
    this.#timers.push(
      clock.every(SYNC_MS, () => inBackground(log, this.#sync())),
      clock.every(PRUNE_MS, () => inBackground(log, this.#prune())),
    );
    this.#oldBefore = this.#oldest(clock.now());
  }

  stop(): void {
    for (const timer of this.#timers.splice(0)) timer.cancel();
  }

  /** False until this node has read the store once. Before that it does not know which tokens are void. */
  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  get size(): number {
    return this.#known.size;
  }

  isRevoked({
    userId,
    issuedAt,
  }: {
    readonly userId: number;
    readonly issuedAt?: number | undefined;
  }): boolean {
    const at = this.#known.get(userId);
    return at !== undefined && !isIssuedAfter(issuedAt, at);
  }

  /**
   * Voids the user's tokens that were issued at this moment or earlier. It takes effect here at once. `isKept` is false if the
   * store did not accept it in time. The node keeps trying, but if this process ends, the revocation may be lost.
   */
  async revoke(userId: number): Promise<{ readonly at: number; readonly isKept: boolean }> {
    const at = Math.max(this.#options.clock.now(), this.#known.get(userId) ?? 0);
    this.#learn({ userId, at });
    this.#dropOldest();
    this.#unkept.set(userId, at);
    try {
      await this.#options.store.put([{ userId, at }]);
      return { at, isKept: true };
    } catch (error) {
      this.#failed(error);
      return { at, isKept: false };
    }
  }

  /** One call at a time. If the store does not answer, the next tick asks again. */
  #sync(): Promise<void> {
    this.#syncing ??= this.#exchange()
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#syncing = undefined;
      });
    return this.#syncing;
  }

  async #exchange(): Promise<void> {
    const { store, log } = this.#options;
    const { revocations, isAll } = await store.read();
    for await (const slice of this.#slices(newest(revocations)))
      for (const revocation of slice) {
        this.#learn(revocation);
        if ((this.#unkept.get(revocation.userId) ?? Infinity) <= revocation.at)
          this.#unkept.delete(revocation.userId);
      }
    this.#dropOldest();
    if (isAll) this.#findUnkept(revocations);
    this.#isLoaded = true;
    const unkept = [...this.#unkept].map(([userId, at]) => ({ userId, at }));
    for await (const slice of this.#slices(unkept)) await store.put(slice);
    if (this.#isFailing) log.info({ event: 'revocation' }, 'revocations are kept and read again');
    this.#isFailing = false;
  }

  /** The store was wiped or went back in time: the node writes back what it has lost. */
  #findUnkept(stored: readonly Revocation[]): void {
    const kept = new Map(stored.map(({ userId, at }) => [userId, at]));
    for (const [userId, at] of this.#known) if ((kept.get(userId) ?? 0) < at) this.#unkept.set(userId, at);
  }

  #learn({ userId, at }: Revocation): void {
    if (at <= (this.#known.get(userId) ?? 0)) return;
    this.#noteAhead({ userId, at });
    this.#known.delete(userId);
    this.#known.set(userId, at);
    this.#options.revoked({ userId, at });
  }

  /** Until then, such a user gets no valid token. Logged once, because a node whose clock is behind finds many. */
  #noteAhead({ userId, at }: Revocation): void {
    const aheadMs = at - this.#options.clock.now();
    if (aheadMs <= MAX_AHEAD_MS || this.#isAheadSaid) return;
    this.#isAheadSaid = true;
    this.#options.log.warn(
      { event: 'revocation', userId, aheadMs },
      'a revocation lies ahead of the clock of this node: until that time the tokens of the user are void. Compare the clocks of the nodes',
    );
  }

  #oldest(now: number): number {
    return now - this.#options.retentionMs;
  }

  /**
   * Removes revocations that were too old an hour ago and still are, also by the clock of the store. One wrong clock must make no
   * token valid again.
   */
  async #prune(): Promise<void> {
    const { store, clock } = this.#options;
    const old = this.#oldest(clock.now());
    const oldest = Math.min(old, this.#oldBefore);
    this.#oldBefore = old;
    try {
      const agreed = Math.min(oldest, this.#oldest((await store.now?.()) ?? Infinity));
      for (const [userId, at] of this.#known) if (at <= agreed) this.#drop(userId);
      await store.forget(agreed);
    } catch (error) {
      this.#failed(error);
    }
  }

  #forget(at: number): Promise<void> {
    return this.#options.store.forget(at).catch((error: unknown) => this.#failed(error));
  }

  /** Yields to the event loop between slices: the store may have a hundred thousand revocations. */
  async *#slices(revocations: readonly Revocation[]): AsyncGenerator<readonly Revocation[]> {
    for (let at = 0; at < revocations.length; at += SLICE) {
      if (at > 0) await new Promise<void>((resolve) => void this.#options.clock.defer(resolve));
      yield revocations.slice(at, at + SLICE);
    }
  }

  #dropOldest(): void {
    const surplus = this.#known.size - MAX_REVOCATIONS;
    if (surplus <= 0) return;
    const dropped = Math.max(surplus, Math.ceil(MAX_REVOCATIONS * DROPPED_SHARE));
    const byAge = [...this.#known].sort(([, left], [, right]) => left - right);
    const oldest = byAge.slice(0, dropped);
    for (const [userId] of oldest) this.#drop(userId);
    inBackground(this.#options.log, this.#forget(oldest.at(-1)?.[1] ?? 0));
    this.#options.log.error(
      { event: 'revocation', dropped },
      `more than ${MAX_REVOCATIONS} users have a revocation: the oldest ones no longer count`,
    );
  }

  #drop(userId: number): void {
    this.#known.delete(userId);
    this.#unkept.delete(userId);
  }

  /** Logs this once; presence already logs that Redis is unreachable. */
  #failed(error: unknown): void {
    if (this.#isFailing) return;
    this.#isFailing = true;
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.log.warn({ event: 'revocation', reason }, 'revocations cannot be kept or read');
  }
}

/** As many as a node may keep. Another program may have written more into the store. */
function newest(revocations: readonly Revocation[]): readonly Revocation[] {
  if (revocations.length <= MAX_REVOCATIONS) return revocations;
  return [...revocations].sort((left, right) => right.at - left.at).slice(0, MAX_REVOCATIONS);
}
