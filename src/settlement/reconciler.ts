import { Batcher } from '../lib/batcher.ts';
import { type Clock, sleep, type Timer } from '../lib/clock.ts';
import { err, ok, type Result } from '../lib/result.ts';
import type { Log } from '../logging/log.ts';
import { type Duty, type PeriodRow, periodKey } from '../protocol/periods.ts';
import { splitOnPoison } from './split-on-poison.ts';
import { describeError } from './sql-errors.ts';
import { Suspects } from './suspects.ts';
import type { UserStore } from './user-store.ts';
import { writeFree } from './write-free.ts';

export interface ReconcilerOptions {
  readonly store: Pick<
    UserStore,
    | 'lookup'
    | 'openPeriods'
    | 'settle'
    | 'nodeLives'
    | 'noteNodeAlive'
    | 'withReconcilerLock'
    | 'prunePeriods'
  >;
  /**
   * For each row, whether presence has the period as running or a duty for it waits. Rejects while presence does not
   * answer; the reconciler then skips the pass.
   */
  readonly presenceKnows: (
    rows: readonly { readonly userId: number; readonly period: number }[],
  ) => Promise<readonly boolean[]>;
  /** Whether a burst of logouts is on its way to SQL. It comes before the reconciler's look. */
  readonly hasBurst: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
  /** This incarnation, for `lingxi_nodes`. */
  readonly node: string;
  readonly heartbeatTimeoutMs: number;
  readonly periodsRetentionDays: number;
  /** As for the settler. */
  readonly onSettled: (duties: readonly Duty[]) => void;
  /** The write of this node's sign of life succeeded, or failed with `error`. */
  readonly onNoted?: (error?: unknown) => void;
}

export const RECONCILE_INTERVAL_MS = 5000;
/** A row must be open and unknown to presence for this time (rule ST4). */
export const RECONCILE_AFTER_MS = 12_000;
const PAGE = 500;
/** Number of open rows in one pass, so that 100,000 users online cost presence 4,000 look-ups a second. */
const MAX_PAGES_PER_PASS = 40;
/** How long one pass waits behind a burst, in looks. */
const MAX_WAITS = 20;
const WAIT_MS = 100;
/** Largest number of logins whose users' open rows wait to be settled. The row of a further one is left to a later pass. */
const MAX_WAITING_LOGINS = 20_000;
const PRUNE_EVERY_MS = 600_000;
const PRUNE_BATCH = 1000;
/** Batches in one pruning. A backlog of years needs several prunings, and nothing waits for it. */
const MAX_PRUNE_BATCHES = 20;
const DAY_MS = 86_400_000;

/** An open row that presence does not know. */
interface LostRow {
  readonly row: PeriodRow;
  /** Latest time of the logout, because the user's next login was then. */
  readonly notAfter: number;
}

/**
 * The safety net of settlement. It finds periods that are open in SQL and unknown elsewhere, and settles them with the
 * reason `reconciled` (rules ST4, ST5). It also writes this node's row in `lingxi_nodes` and deletes old rows.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #suspects = new Suspects();
  /** After a crash that took Redis's data, each user of a storm of logins has an open row. */
  readonly #foundByLogins: Batcher<LostRow, Duty>;
  readonly #timers: Timer[] = [];
  #cursor: { readonly userId: number; readonly period: number } | undefined;
  #tickedAt = Number.NEGATIVE_INFINITY;
  #passing: Promise<void> | undefined;
  #noting: Promise<void> | undefined;
  #stopped = false;
  #prunedAt = Number.NEGATIVE_INFINITY;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#foundByLogins = new Batcher({
      clock: options.clock,
      maxBatch: PAGE,
      maxWaiting: MAX_WAITING_LOGINS,
      run: (lost) => this.#settle(lost),
    });
  }

  /** Resolves after the first try to write this node's sign of life, which settlements of later periods use. */
  async start(): Promise<void> {
    const { clock } = this.#options;
    this.#timers.push(clock.every(RECONCILE_INTERVAL_MS, () => this.#noteAlive()));
    this.#timers.push(clock.every(RECONCILE_INTERVAL_MS, () => this.#tick()));
    this.#noteAlive();
    await this.#noting;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers.splice(0)) timer.cancel();
    await Promise.all([this.#passing, this.#noting]);
  }

  /** One look at the open rows, unless one is in progress or another node has the lock. Never rejects. */
  pass(): Promise<void> {
    this.#passing ??= this.#lockedPass().finally(() => {
      this.#passing = undefined;
    });
    return this.#passing;
  }

  /**
   * Settles an open row now, together with those that other logins found, for a login at `nextLoginAt`. The row of that login
   * is written after this. Rejects if SQL fails.
   */
  async reconcileNow(row: PeriodRow, nextLoginAt: number): Promise<Duty> {
    const settled = await this.#foundByLogins.submit({ row, notAfter: nextLoginAt });
    if (!settled.ok) throw settled.error;
    return settled.value;
  }

  #tick(): void {
    const now = this.#options.clock.monotonic();
    // The whole process stood still: a row that was unknown before may have become known meanwhile.
    if (now - this.#tickedAt >= RECONCILE_AFTER_MS) this.#suspects.forget();
    this.#tickedAt = now;
    void this.pass();
  }

  async #lockedPass(): Promise<void> {
    const { store, log } = this.#options;
    try {
      await store.withReconcilerLock(async () => {
        await this.#reconcile();
        await this.#prune();
      });
    } catch (error) {
      log.debug({ event: 'settlement-failed', error: describeError(error) }, 'reconciling was skipped');
    }
  }

  async #reconcile(): Promise<void> {
    const { store, clock, hasBurst } = this.#options;
    let waits = 0;
    for (let page = 0; page < MAX_PAGES_PER_PASS; page += 1) {
      for (; hasBurst() && waits < MAX_WAITS && !this.#stopped; waits += 1) await sleep(clock, WAIT_MS);
      const rows = await store.openPeriods({
        limit: PAGE,
        ...(this.#cursor === undefined ? {} : { after: this.#cursor }),
      });
      const known = rows.length === 0 ? [] : await this.#ask(rows);
      const unknown = rows.filter((row, index) => {
        if (known[index] !== true) return true;
        this.#suspects.clear(row);
        return false;
      });
      const lost = unknown.filter(
        (row) => this.#suspects.ageMs(row, clock.monotonic()) >= RECONCILE_AFTER_MS,
      );
      if (lost.length > 0)
        await this.#settle(lost.map((row) => ({ row, notAfter: Number.POSITIVE_INFINITY })));
      const last = rows.at(-1);
      if (rows.length < PAGE || last === undefined) {
        this.#cursor = undefined;
        this.#suspects.endRound();
        return;
      }
      this.#cursor = { userId: last.userId, period: last.period };
    }
  }

  /** Time without an answer of presence does not count: nodes may restore their users now. */
  async #ask(rows: readonly PeriodRow[]): Promise<readonly boolean[]> {
    try {
      return await this.#options.presenceKnows(rows);
    } catch (error) {
      this.#suspects.forget();
      throw error;
    }
  }

  /** Returns the duty by which each row was settled. Rows that SQL rejects for good stay open and are reported at each try; so do, unreported, rows of users that others lock. */
  async #settle(lost: readonly LostRow[]): Promise<readonly Result<Duty, Error>[]> {
    const { store, clock, log, onSettled } = this.#options;
    const lives = await store.nodeLives(lost.map(({ row }) => row.node));
    const duties = lost.map(({ row, notAfter }) => this.#dutyFor(row, lives.get(row.node), notAfter));
    const refused = new Set<Duty>();
    await splitOnPoison(duties, {
      async run(part) {
        // A later pass looks at these rows again.
        const { locked } = await writeFree(part, (free) => store.settle(free, clock.now()));
        for (const duty of locked) refused.add(duty);
      },
      poison: (duty, error) => {
        refused.add(duty);
        log.error(
          {
            event: 'settlement-set-aside',
            userId: duty.userId,
            period: duty.period,
            error: describeError(error),
          },
          'the database refuses to settle an open period: its row stays open',
        );
        return Promise.resolve();
      },
    });
    const closed = duties.filter((duty) => !refused.has(duty));
    const done = await this.#closedHere(closed);
    for (const duty of closed) this.#suspects.clear(duty);
    for (const { userId, period, reason } of done) {
      log.warn(
        { event: 'settled', userId, period, reason },
        'open period that presence had lost was settled',
      );
    }
    onSettled(done);
    return duties.map((duty) =>
      refused.has(duty) ? err(new Error('the database does not settle the open period')) : ok(duty),
    );
  }

  /** Without those that a logout closed between the look at the rows and this. If SQL does not say, all of them. */
  async #closedHere(duties: readonly Duty[]): Promise<readonly Duty[]> {
    const ids = duties.map(({ userId }) => userId);
    const facts = await this.#options.store.lookup(ids).catch(() => []);
    return duties.filter(({ period }, index) => {
      const newest = facts[index]?.newest;
      return newest?.period !== period || newest.reason === 'reconciled';
    });
  }

  /** The last sign of life of the row's node takes the place of the proof of life (rule ST5). */
  #dutyFor(row: PeriodRow, nodeLivedAt: number | undefined, notAfter: number): Duty {
    const { clock, heartbeatTimeoutMs } = this.#options;
    const latest = Math.min(clock.now(), notAfter);
    const lastSeenAt = Math.max(row.loginAt, Math.min(nodeLivedAt ?? row.loginAt, latest));
    const logoutAt = Math.max(row.loginAt, Math.min(latest, lastSeenAt + heartbeatTimeoutMs));
    const { userId, period, loginAt, node } = row;
    return {
      id: `reconciled:${periodKey(row)}`,
      userId,
      period,
      loginAt,
      logoutAt,
      lastSeenAt,
      reason: 'reconciled',
      node,
    };
  }

  async #prune(): Promise<void> {
    const { store, clock, periodsRetentionDays } = this.#options;
    if (clock.monotonic() - this.#prunedAt < PRUNE_EVERY_MS) return;
    this.#prunedAt = clock.monotonic();
    const before = clock.now() - periodsRetentionDays * DAY_MS;
    for (let batch = 0; batch < MAX_PRUNE_BATCHES; batch += 1) {
      if ((await store.prunePeriods(before, PRUNE_BATCH)) < PRUNE_BATCH) return;
    }
  }

  #noteAlive(): void {
    const { store, clock, node, log, onNoted } = this.#options;
    this.#noting ??= store
      .noteNodeAlive(node, clock.now())
      .then(() => onNoted?.())
      .catch((error: unknown) => {
        onNoted?.(error);
        log.debug({ event: 'settlement-failed', error: describeError(error) }, 'sign of life not written');
      })
      .finally(() => {
        this.#noting = undefined;
      });
  }
}
