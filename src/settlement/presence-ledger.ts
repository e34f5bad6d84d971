import type { Clock, Timer } from '../lib/clock.ts';
import { sleep } from '../lib/clock.ts';
import {
  type Duty,
  type Opening,
  type PeriodKey,
  type PeriodRow,
  RefusedForGood,
  type UserFacts,
} from '../protocol/periods.ts';
import type { GroupCommit } from './group-commit.ts';
import type { Reconciler } from './reconciler.ts';
import type { Settler } from './settler.ts';
import { describeError, isPermanentError } from './sql-errors.ts';
import type { UserStore } from './user-store.ts';

/** Openings that wait for SQL to come back, at most; beyond, the oldest is left to the duty of its end. */
const MAX_LATE_OPENINGS = 100_000;
const LATE_RETRY_MS = 1000;
/** Moved periods that wait for SQL, at most; beyond, the oldest keeps its old node, and with it an earlier logout. */
const MAX_MOVED = 100_000;
const MOVE_GATHER_MS = 200;
const MOVE_BATCH = 500;

export interface PresenceLedgerOptions {
  readonly clock: Clock;
  /** This incarnation. */
  readonly node: string;
  readonly store: UserStore;
  readonly groupCommit: GroupCommit;
  readonly settler: Settler;
  readonly reconciler: Reconciler;
}

/** SQL as presence sees it: group commits, the settler's news, and openings that follow late. */
export class PresenceLedger {
  readonly #options: PresenceLedgerOptions;
  readonly #late = new Map<string, Opening>();
  /** Who waits for the settlement of a period. */
  readonly #waiting = new Map<string, Set<() => void>>();
  #retrying = false;
  /** Periods that came to this node and whose rows do not say so yet. */
  readonly #moved = new Map<string, PeriodKey>();
  #moving: Timer | undefined;
  #isStopped = false;

  constructor(options: PresenceLedgerOptions) {
    this.#options = options;
  }

  lookup(userId: number): Promise<UserFacts> {
    return this.#options.groupCommit.lookup(userId);
  }

  async open(opening: Opening): Promise<void> {
    try {
      await this.#options.groupCommit.open(opening);
    } catch (error) {
      if (isPermanentError(error)) throw new RefusedForGood(describeError(error), { cause: error });
      throw error;
    }
  }

  openLater(opening: Opening): void {
    this.#late.set(keyOf(opening), opening);
    const oldest = this.#late.keys().next().value;
    if (this.#late.size > MAX_LATE_OPENINGS && oldest !== undefined) this.#late.delete(oldest);
    if (this.#retrying) return;
    this.#retrying = true;
    void this.#writeLate().finally(() => {
      this.#retrying = false;
    });
  }

  moved(period: PeriodKey): void {
    this.#moved.set(keyOf(period), period);
    const oldest = this.#moved.keys().next().value;
    if (this.#moved.size > MAX_MOVED && oldest !== undefined) this.#moved.delete(oldest);
    this.#moveSoon(MOVE_GATHER_MS);
  }

  async reconcile(row: PeriodRow, nextLoginAt: number): Promise<void> {
    await this.#options.reconciler.reconcileNow(row, nextLoginAt);
  }

  settled(period: { readonly userId: number; readonly period: number }, timeoutMs: number): Promise<void> {
    const key = keyOf(period);
    this.#options.settler.wake();
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(key) ?? new Set();
      this.#waiting.set(key, waiting);
      const done = (): void => {
        timer.cancel();
        waiting.delete(done);
        if (waiting.size === 0) this.#waiting.delete(key);
        resolve();
      };
      const timer = this.#options.clock.after(timeoutMs, done);
      waiting.add(done);
    });
  }

  newestPeriods(userIds: readonly number[]): Promise<ReadonlyMap<number, PeriodRow>> {
    return this.#options.store.newestPeriods(userIds);
  }

  areSettled(periods: readonly PeriodKey[]): Promise<readonly boolean[]> {
    return this.#options.store.areSettled(periods);
  }

  wake(): void {
    this.#options.settler.wake();
  }

  /** Tells SQL what it still can of periods that moved, and gives up what waits for it to come back. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#moving?.cancel();
    if (this.#moved.size > 0) await this.#move();
    this.#late.clear();
  }

  /** To be told by the settler and the reconciler. */
  onSettled(duties: readonly Duty[]): void {
    for (const duty of duties) {
      for (const done of this.#waiting.get(keyOf(duty)) ?? []) done();
    }
  }

  #moveSoon(delayMs: number): void {
    this.#moving ??= this.#options.clock.after(delayMs, () => void this.#move());
  }

  async #move(): Promise<void> {
    const { store, node } = this.#options;
    const batch = [...this.#moved].slice(0, MOVE_BATCH);
    const isDone = await store
      .movePeriods(
        batch.map(([, period]) => period),
        node,
      )
      .then(
        () => true,
        () => false,
      );
    if (isDone) for (const [key] of batch) this.#moved.delete(key);
    this.#moving = undefined;
    if (this.#moved.size > 0 && !this.#isStopped) this.#moveSoon(isDone ? 0 : LATE_RETRY_MS);
  }

  async #writeLate(): Promise<void> {
    while (this.#late.size > 0) {
      await sleep(this.#options.clock, LATE_RETRY_MS);
      for (const [key, opening] of this.#late) {
        const isDone = await this.open(opening).then(
          () => true,
          // A row that never succeeds must not keep the others waiting: the duty of its end is all that is left of it.
          (error: unknown) => error instanceof RefusedForGood,
        );
        if (!isDone) break;
        this.#late.delete(key);
      }
    }
  }
}

function keyOf({ userId, period }: PeriodKey): string {
  return `${userId}:${period}`;
}
