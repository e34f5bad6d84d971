import { type Clock, sleep, type Timer } from '../lib/clock.ts';
import type { Log } from '../logging/log.ts';
import type { Duty, PendingDuties } from '../protocol/periods.ts';
import { mergeDuties } from './duties.ts';
import { Retrier } from './retrier.ts';
import { splitOnPoison } from './split-on-poison.ts';
import { describeError } from './sql-errors.ts';
import type { UserStore } from './user-store.ts';
import { writeFree } from './write-free.ts';

/** The duties. The presence store keeps them, so that the end of a period and its duty are one step (rule ST1). */
export interface DutySource {
  /**
   * Oldest duties first, at most `limit`. This process gets a duty only once until it acknowledges it. The source itself
   * gives out the duties of a dead process again.
   */
  takeDuties(limit: number): Promise<readonly Duty[]>;
  /** Whether a burst of logouts is in progress, which comes first. */
  readonly hasBurst?: boolean;
  ackDuties(duties: readonly Duty[]): Promise<void>;
  /** Moves a duty that can never succeed to the dead letters, and acknowledges it. */
  setAside(duty: Duty, error: string): Promise<void>;
  pendingDuties(): Promise<PendingDuties>;
}

export interface SettlerOptions {
  readonly store: Pick<UserStore, 'settle'>;
  readonly source: DutySource;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 up to 1, for the jitter of retries. */
  readonly random: () => number;
  /** Called after the commit and before the acknowledgement, perhaps more than once for a duty (rule ST6). */
  readonly onSettled: (duties: readonly Duty[]) => void;
}

/** The outcome of a batch in SQL. */
interface Outcome {
  readonly done: readonly Duty[];
  /** Duties that SQL rejects for good, with the error. */
  readonly poisoned: ReadonlyMap<Duty, unknown>;
  /** Duties of users whose rows another program locks. */
  readonly locked: readonly Duty[];
}

/** Duties in one transaction (rule ST3). */
export const SETTLE_BATCH = 500;
/** Largest number of parallel batches in a burst: one comes from the presence store while SQL has another. */
const WORKERS = 3;
/** How long a worker waits behind a burst of logouts, before each batch. */
const MAX_WAITS = 40;
const WAIT_MS = 25;
/** A wake-up waits this long for more ends to share its transaction. */
const GATHER_MS = 20;
/** Interval of the poll for duties without a wake-up, from another node's death or another process. */
const POLL_MS = 1000;
const FLUSH_POLL_MS = 20;
/** A flush without time still looks whether anything waits. A source that answers does so within this time. */
const MIN_LOOK_MS = 100;
/** Largest number of duties of locked rows in memory. Beyond it all duties wait in the source. */
const MAX_LOCKED = 10_000;
const LOCKED_WAIT_MS = 100;

/**
 * Settles duties in SQL, batch by batch. In a burst it runs several batches at a time, like the settlers of several nodes.
 * While SQL fails it retries the batch in progress, and all other duties wait in the source (rule ST7). If another program
 * locks rows of users, only the duties of these users wait.
 */
export class Settler {
  readonly #options: SettlerOptions;
  readonly #retrier: Retrier;
  #poll: Timer | undefined;
  #gather: Timer | undefined;
  #draining: Promise<void> | undefined;
  #refreshing: Promise<void> | undefined;
  /** Duties of users whose rows another program locks. */
  readonly #locked: Duty[] = [];
  #apart: Promise<void> | undefined;
  #workers = 0;
  #wokenMeanwhile = false;
  #stopped = false;
  #pending: PendingDuties & { readonly at: number } = { count: 0, oldestAgeMs: 0, setAside: 0, at: 0 };

  constructor(options: SettlerOptions) {
    this.#options = options;
    this.#retrier = new Retrier({
      clock: options.clock,
      random: options.random,
      onFailure: (error, attempt) => {
        options.log.warn(
          { event: 'settlement-failed', attempt, error: describeError(error), pending: this.#pending.count },
          'settlements wait: the database or the presence store does not take them',
        );
      },
    });
  }

  /** Duties not yet settled, as of the newest look. */
  get pendingCount(): number {
    return this.#pending.count;
  }

  get oldestAgeMs(): number {
    const { count, oldestAgeMs, at } = this.#pending;
    return count === 0 ? 0 : oldestAgeMs + (this.#options.clock.monotonic() - at);
  }

  /** Dead letters, as of the newest look. */
  get setAsideCount(): number {
    return this.#pending.setAside;
  }

  /** More than one batch is in progress. */
  get hasBurst(): boolean {
    return this.#workers > 1;
  }

  start(): void {
    const look = (): void => {
      // Separate from the draining, which may be stuck with a batch while the backlog grows.
      this.#refreshing ??= this.#refreshPending().finally(() => {
        this.#refreshing = undefined;
      });
      this.#drainSoon(0);
    };
    this.#poll = this.#options.clock.every(POLL_MS, look);
    look();
  }

  /** A period has ended. This is cheap; call it for each. */
  wake(): void {
    this.#drainSoon(GATHER_MS);
  }

  /**
   * Settles the waiting duties. Returns whether none is left, after `timeoutMs` at the latest (rule DR1), but not before it has
   * looked once.
   */
  async flush(timeoutMs: number): Promise<boolean> {
    const { clock, source } = this.#options;
    const deadline = clock.monotonic() + timeoutMs;
    const leftMs = (): number => Math.max(MIN_LOOK_MS, deadline - clock.monotonic());
    do {
      this.#drainSoon(0);
      await this.#drainedOr(leftMs());
      const look = source.pendingDuties().catch(() => undefined);
      const left = await Promise.race([look, sleep(clock, leftMs())]);
      if (left?.count === 0) return true;
      // If the source refuses at once, this loop must not spin.
      await sleep(clock, FLUSH_POLL_MS);
    } while (clock.monotonic() < deadline && !this.#stopped);
    return false;
  }

  /** Ends, and gives up the batch in progress if SQL does not take it. Unacknowledged duties stay in the source. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#poll?.cancel();
    this.#gather?.cancel();
    this.#retrier.stop();
    await Promise.all([this.#draining, this.#apart, this.#refreshing]);
  }

  #drainSoon(delayMs: number): void {
    if (this.#stopped) return;
    if (this.#draining !== undefined) {
      this.#wokenMeanwhile = true;
      return;
    }
    if (delayMs > 0) {
      this.#gather ??= this.#options.clock.after(delayMs, () => this.#drainSoon(0));
      return;
    }
    this.#gather?.cancel();
    this.#gather = undefined;
    this.#draining = this.#drain().finally(() => {
      this.#draining = undefined;
      if (!this.#wokenMeanwhile) return;
      this.#wokenMeanwhile = false;
      this.#drainSoon(GATHER_MS);
    });
  }

  #drainedOr(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(timeoutMs, resolve);
      void (this.#draining ?? Promise.resolve()).then(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  async #drain(): Promise<void> {
    if (await this.#work()) await this.#refreshPending();
  }

  /** Settles batch after batch. A full batch starts one more worker. Returns whether there was any duty. */
  async #work(): Promise<boolean> {
    this.#workers += 1;
    const { source, clock, log } = this.#options;
    const beside: Promise<boolean>[] = [];
    let settled = false;
    try {
      for (;;) {
        while (this.#locked.length >= MAX_LOCKED && !this.#stopped) await sleep(clock, LOCKED_WAIT_MS);
        for (let waits = 0; source.hasBurst === true && waits < MAX_WAITS && !this.#stopped; waits += 1)
          await sleep(clock, WAIT_MS);
        const batch = this.#stopped ? [] : await source.takeDuties(SETTLE_BATCH);
        if (batch.length === 0) break;
        settled = true;
        if (batch.length >= SETTLE_BATCH && this.#workers < WORKERS) beside.push(this.#work());
        const outcome = await this.#settle(batch);
        if (outcome === undefined) continue;
        await this.#acknowledge(outcome);
        if (outcome.locked.length > 0) this.#tryApart(outcome.locked);
      }
    } catch (error) {
      // The presence store is away; the next poll looks again.
      log.debug({ event: 'settlement-failed', error: describeError(error) }, 'duties cannot be read');
    }
    this.#workers -= 1;
    await Promise.all(beside);
    return settled;
  }

  /** Undefined if it was given up. */
  async #settle(batch: readonly Duty[]): Promise<Outcome | undefined> {
    let outcome: Outcome | undefined;
    await this.#retrier.until(async () => {
      outcome = await this.#write(batch);
    });
    return outcome;
  }

  /** One try. Rejects while SQL takes nothing. */
  async #write(batch: readonly Duty[]): Promise<Outcome> {
    const { store, clock, log, onSettled } = this.#options;
    const poisoned = new Map<Duty, unknown>();
    const locked = new Set<number>();
    const merged = mergeDuties(batch);
    await splitOnPoison(merged, {
      async run(part) {
        const left = await writeFree(part, (free) => store.settle(free, clock.now()));
        for (const { userId } of left.locked) locked.add(userId);
      },
      poison: (duty, error) => {
        poisoned.set(duty, error);
        return Promise.resolve();
      },
    });
    const isDone = (duty: Duty): boolean => !poisoned.has(duty) && !locked.has(duty.userId);
    const written = merged.filter(isDone);
    onSettled(written);
    for (const { userId, period, reason } of written) {
      log.info({ event: 'settled', userId, period, reason }, 'logout written');
    }
    return {
      // The merge dropped duties that another duty of the same period outweighs: those are done too.
      done: batch.filter(isDone),
      poisoned,
      locked: batch.filter((duty) => locked.has(duty.userId) && !poisoned.has(duty)),
    };
  }

  /** Tries the duties of locked rows again, apart from all others: these must not wait. */
  #tryApart(duties: readonly Duty[]): void {
    this.#locked.push(...duties);
    this.#apart ??= this.#retrier
      .until(() => this.#writeLocked())
      .then((isDone) => {
        this.#apart = undefined;
        // Some came after the last look.
        if (isDone && this.#locked.length > 0) this.#tryApart([]);
      });
  }

  /** Rejects while a row is still locked. */
  async #writeLocked(): Promise<void> {
    const waiting = this.#locked.splice(0);
    for (let start = 0; start < waiting.length; start += SETTLE_BATCH) {
      try {
        const outcome = await this.#write(waiting.slice(start, start + SETTLE_BATCH));
        this.#locked.push(...outcome.locked);
        await this.#acknowledge(outcome);
      } catch (error) {
        this.#locked.push(...waiting.slice(start));
        throw error;
      }
    }
    if (this.#locked.length > 0)
      throw new Error(`another program locks rows of the users table, of ${this.#locked.length} logouts`);
  }

  async #acknowledge({ done, poisoned }: Outcome): Promise<void> {
    const { source, log } = this.#options;
    for (const [duty, error] of poisoned) {
      log.error(
        {
          event: 'settlement-set-aside',
          userId: duty.userId,
          period: duty.period,
          error: describeError(error),
        },
        'the database refuses this logout for good: it was set aside for an operator',
      );
      await this.#retrier.until(() => source.setAside(duty, describeError(error)));
    }
    if (done.length > 0) await this.#retrier.until(() => source.ackDuties(done));
  }

  /** While the source does not answer, keeps the last known numbers and lets the age grow. */
  async #refreshPending(): Promise<void> {
    const { source, clock } = this.#options;
    const pending = await source.pendingDuties().catch(() => undefined);
    if (pending !== undefined) this.#pending = { ...pending, at: clock.monotonic() };
  }
}
