import type { Clock, Timer } from '../lib/clock.ts';
import { sleep } from '../lib/clock.ts';
import {
  type Duty,
  type Opening,
  type PeriodKey,
  type PeriodRow,
  periodKey,
  RefusedForGood,
  type UserFacts,
} from '../protocol/periods.ts';
import { GivenUpOpenings } from './given-up-openings.ts';
import type { GroupCommit } from './group-commit.ts';
import type { Reconciler } from './reconciler.ts';
import type { Settler } from './settler.ts';
import { describeError, isPermanentError } from './sql-errors.ts';
import type { UserStore } from './user-store.ts';

/** Largest number of openings that wait for SQL. Beyond it, the oldest is left to the duty of its end. */
const MAX_LATE_OPENINGS = 100_000;
const LATE_RETRY_MS = 1000;
/** Largest number of moved periods that wait for SQL. Beyond it, the oldest keeps its old node and an earlier logout. */
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

/** The SQL port of presence: group commits, reports of the settler, and late openings. */
export class PresenceLedger {
  readonly #options: PresenceLedgerOptions;
  readonly #late = new Map<string, Opening>();
  /** The logins that wait for the settlement of a period. */
  readonly #waiting = new Map<string, Set<() => void>>();
  readonly #givenUp: GivenUpOpenings;
  #retrying = false;
  /** Periods that came to this node, but still have the old node in their rows. */
  readonly #moved = new Map<string, PeriodKey>();
  #moving: Timer | undefined;
  #isStopped = false;

  constructor(options: PresenceLedgerOptions) {
    this.#options = options;
    this.#givenUp = new GivenUpOpenings(options);
  }

  lookup(userId: number): Promise<UserFacts> {
    return this.#options.groupCommit.lookup(userId);
  }

  async open(opening: Opening): Promise<void> {
    const deletion = this.#givenUp.takeBack(opening);
    if (deletion !== undefined) await deletion;
    try {
      await this.#options.groupCommit.open(opening);
    } catch (error) {
      if (isPermanentError(error)) throw new RefusedForGood(describeError(error), { cause: error });
      throw error;
    }
  }

  openLater(opening: Opening): void {
    this.#late.set(periodKey(opening), opening);
    if (this.#late.size > MAX_LATE_OPENINGS) this.#late.delete(oldestOf(this.#late));
    if (this.#retrying) return;
    this.#retrying = true;
    void this.#writeLate().finally(() => {
      this.#retrying = false;
    });
  }

  giveUp(opening: Opening): void {
    this.#givenUp.add(opening);
  }

  moved(period: PeriodKey): void {
    void this.#givenUp.takeBack(period);
    this.#moved.set(periodKey(period), period);
    if (this.#moved.size > MAX_MOVED) this.#moved.delete(oldestOf(this.#moved));
    this.#moveSoon(MOVE_GATHER_MS);
  }

  async reconcile(row: PeriodRow, nextLoginAt: number): Promise<void> {
    const { reconciler, store, node } = this.#options;
    if (row.node === node && this.#givenUp.has(row)) await store.dropOpenings([row], node);
    else await reconciler.reconcileNow(row, nextLoginAt);
  }

  settled(period: { readonly userId: number; readonly period: number }, timeoutMs: number): Promise<void> {
    const key = periodKey(period);
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

  /** Writes the moved periods to SQL if possible, drops what came to nothing, and gives up the openings that still wait for SQL. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#moving?.cancel();
    await Promise.all([this.#moved.size > 0 ? this.#move() : undefined, this.#givenUp.stop()]);
    this.#late.clear();
  }

  /** The settler and the reconciler call this. */
  onSettled(duties: readonly Duty[]): void {
    for (const duty of duties) {
      for (const done of this.#waiting.get(periodKey(duty)) ?? []) done();
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
          // A row that never succeeds must not delay the others. The duty of its end remains.
          (error: unknown) => error instanceof RefusedForGood,
        );
        if (!isDone) break;
        this.#late.delete(key);
      }
    }
  }
}

function oldestOf(map: ReadonlyMap<string, unknown>): string {
  return map.keys().next().value ?? '';
}
