import {
  type Duty,
  type Opening,
  type PeriodKey,
  type PeriodRow,
  periodKey,
  type UserFacts,
} from '../../src/protocol/periods.ts';
import { mergeDuties } from '../../src/settlement/duties.ts';
import type { UserStore } from '../../src/settlement/user-store.ts';
import type { Mutation } from './mutation.ts';
import type { Random } from './random.ts';
import type { NodeClock, Scheduler } from './scheduler.ts';

/** After this time a driver gives up on a statement. */
const STATEMENT_TIMEOUT_MS = 5000;

/** One PostgreSQL: tables, transactions that commit at once, and its faults. */
export class SimulatedSql {
  readonly rows = new Map<string, PeriodRow>();
  readonly times = new Map<number, number>();
  /** Rows that were written after the previous period had been reconciled. Their login was not known then. */
  readonly lateRows = new Set<string>();
  /** For each user with a dropped row, the newest login: it had moved the user's time. */
  readonly droppedLogins = new Map<number, number>();
  readonly nodes = new Map<string, number>();
  down = false;
  /** Statements get no answer and have no effect. */
  hanging = false;
  slowMs = 0;
  /** Share of statements that commit, but lose their answer. */
  lostReplies = 0;
  lockHolder: NodeClock | undefined;
  readonly #options: { readonly loginResetsTime: boolean; readonly mutation: Mutation };

  constructor(options: { readonly loginResetsTime: boolean; readonly mutation: Mutation }) {
    this.#options = options;
  }

  newest(userId: number): PeriodRow | undefined {
    let newest: PeriodRow | undefined;
    for (const row of this.rows.values())
      if (row.userId === userId && row.period > (newest?.period ?? 0)) newest = row;
    return newest;
  }

  isSettled(userId: number, period: number): boolean {
    return this.rows.get(`${userId}:${period}`)?.settledAt != null;
  }

  lookup(userIds: readonly number[]): readonly UserFacts[] {
    return userIds.map((userId) => ({
      ...{ userId, exists: true, canExist: true },
      newest: this.#options.mutation.lookupForgets ? undefined : this.newest(userId),
    }));
  }

  open(openings: readonly Opening[]): void {
    for (const opening of openings) {
      const key = `${opening.userId}:${opening.period}`;
      if (this.#options.mutation.opensNothing) return;
      const fresh = { ...opening, lastSeenAt: null, logoutAt: null, reason: null, settledAt: null };
      if (!this.rows.has(key)) this.#noteLate(opening);
      if (!this.rows.has(key) || this.#options.mutation.opensOverwrite) this.rows.set(key, fresh);
      if (this.#options.loginResetsTime) this.#raise(opening.userId, opening.loginAt);
    }
  }

  dropOpenings(openings: readonly PeriodKey[], node: string): void {
    for (const opening of openings) {
      const row = this.rows.get(periodKey(opening));
      if (row?.settledAt !== null || row.node !== node) continue;
      this.rows.delete(periodKey(opening));
      this.droppedLogins.set(row.userId, Math.max(row.loginAt, this.droppedLogins.get(row.userId) ?? 0));
    }
  }

  settle(duties: readonly Duty[], settledAt: number): void {
    for (const duty of mergeDuties(duties)) {
      if (!this.#options.mutation.settleLosesRows) this.#close(duty, settledAt);
      const row = this.rows.get(`${duty.userId}:${duty.period}`);
      if (row?.logoutAt != null) this.#raise(duty.userId, row.logoutAt);
    }
  }

  openPeriods(page: { limit: number; after?: { userId: number; period: number } }): readonly PeriodRow[] {
    const { after, limit } = page;
    const open = [...this.rows.values()].filter(
      ({ settledAt, period, userId }) =>
        settledAt === null &&
        (after === undefined || period > after.period || (period === after.period && userId > after.userId)),
    );
    open.sort((left, right) => left.period - right.period || left.userId - right.userId);
    return open.slice(0, limit);
  }

  #close(duty: Duty, settledAt: number): void {
    const { userId, period, loginAt, lastSeenAt, reason, node } = duty;
    const key = `${userId}:${period}`;
    const row = this.rows.get(key);
    let { logoutAt } = duty;
    if (reason === 'reconciled' && !this.#options.mutation.reconcilesOverLogins)
      logoutAt = Math.min(logoutAt, this.#nextLogin(userId, period));
    const later =
      row?.logoutAt == null ||
      logoutAt > row.logoutAt ||
      (logoutAt === row.logoutAt && row.reason === 'reconciled');
    const closes = row === undefined || row.settledAt === null || (reason !== 'reconciled' && later);
    if (!closes && !this.#options.mutation.settleLastWins) return;
    if (row === undefined) this.#noteLate(duty);
    const kept = row?.loginAt ?? loginAt;
    this.rows.set(key, { userId, period, loginAt: kept, lastSeenAt, logoutAt, reason, settledAt, node });
  }

  #noteLate({ userId, period }: Pick<Opening, 'userId' | 'period'>): void {
    const before = [...this.rows.values()].filter((row) => row.userId === userId && row.period < period);
    if (before.some(({ reason }) => reason === 'reconciled')) this.lateRows.add(`${userId}:${period}`);
  }

  #nextLogin(userId: number, period: number): number {
    let next = Number.POSITIVE_INFINITY;
    for (const row of this.rows.values())
      if (row.userId === userId && row.period > period) next = Math.min(next, row.loginAt);
    return next;
  }

  #raise(userId: number, at: number): void {
    const least = this.#options.mutation.timeMovesBack ? 0 : (this.times.get(userId) ?? 0);
    this.times.set(userId, Math.max(least, at));
  }
}

/** The connections of one process to SQL. */
export class SqlLink implements UserStore {
  readonly #sql: SimulatedSql;
  readonly #clock: NodeClock;
  readonly #scheduler: Scheduler;
  readonly #random: Random;

  constructor(sql: SimulatedSql, process: { clock: NodeClock; scheduler: Scheduler; random: Random }) {
    this.#sql = sql;
    this.#clock = process.clock;
    this.#scheduler = process.scheduler;
    this.#random = process.random;
  }

  lookup(userIds: readonly number[]): Promise<readonly UserFacts[]> {
    return this.#call(() => this.#sql.lookup(userIds));
  }
  open(openings: readonly Opening[]): Promise<void> {
    return this.#call(() => this.#sql.open(openings));
  }
  dropOpenings(openings: readonly PeriodKey[], node: string): Promise<void> {
    return this.#call(() => this.#sql.dropOpenings(openings, node));
  }
  settle(duties: readonly Duty[], settledAt: number): Promise<void> {
    return this.#call(() => this.#sql.settle(duties, settledAt));
  }
  openPeriods(page: Parameters<UserStore['openPeriods']>[0]): Promise<readonly PeriodRow[]> {
    return this.#call(() => this.#sql.openPeriods(page));
  }
  newestPeriods(userIds: readonly number[]): Promise<ReadonlyMap<number, PeriodRow>> {
    return this.#call(() => {
      const found = userIds.flatMap((userId) => this.#sql.newest(userId) ?? []);
      return new Map(found.map((row) => [row.userId, row]));
    });
  }
  areSettled(
    periods: readonly { readonly userId: number; readonly period: number }[],
  ): Promise<readonly boolean[]> {
    return this.#call(() => periods.map(({ userId, period }) => this.#sql.isSettled(userId, period)));
  }
  movePeriods(
    periods: readonly { readonly userId: number; readonly period: number }[],
    node: string,
  ): Promise<void> {
    return this.#call(() => {
      for (const { userId, period } of periods) {
        const row = this.#sql.rows.get(`${userId}:${period}`);
        if (row?.settledAt === null) this.#sql.rows.set(`${userId}:${period}`, { ...row, node });
      }
    });
  }
  noteNodeAlive(node: string, at: number): Promise<void> {
    const { nodes } = this.#sql;
    return this.#call(() => void nodes.set(node, Math.max(at, nodes.get(node) ?? 0)));
  }
  nodeLives(nodes: readonly string[]): Promise<ReadonlyMap<string, number>> {
    return this.#call(
      () =>
        new Map(
          nodes.flatMap((node) =>
            this.#sql.nodes.has(node) ? [[node, this.#sql.nodes.get(node) ?? 0]] : [],
          ),
        ),
    );
  }
  async withReconcilerLock(work: () => Promise<void>): Promise<boolean> {
    // A connection with lost answers is discarded, and its lock with it.
    const taken = await this.#call(() => {
      const { lockHolder } = this.#sql;
      if (lockHolder !== undefined && !lockHolder.isDead) return false;
      this.#sql.lockHolder = this.#clock;
      return true;
    }).catch((error: unknown) => {
      this.#release();
      throw error;
    });
    if (!taken) return false;
    try {
      await work();
    } finally {
      this.#release();
    }
    return true;
  }
  prunePeriods(): Promise<number> {
    return Promise.resolve(0);
  }
  ping(): Promise<void> {
    return this.#call(() => undefined);
  }
  close(): Promise<void> {
    return Promise.resolve();
  }

  #release(): void {
    if (this.#sql.lockHolder === this.#clock) this.#sql.lockHolder = undefined;
  }

  #call<Value>(run: () => Value): Promise<Value> {
    const sql = this.#sql;
    const latency = this.#random.int(1, 4) + sql.slowMs;
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(STATEMENT_TIMEOUT_MS, () => reject(new Error('statement timeout')));
      const answer = (then: () => void): void => {
        this.#scheduler.schedule(
          this.#scheduler.now + 1,
          () => {
            timer.cancel();
            then();
          },
          this.#clock,
        );
      };
      this.#scheduler.carry(this.#scheduler.now + latency, () => {
        if (sql.hanging) return;
        if (sql.down) return answer(() => reject(new Error('connection refused')));
        const value = run();
        if (this.#random.chance(sql.lostReplies)) return answer(() => reject(new Error('connection reset')));
        answer(() => resolve(value));
      });
    });
  }
}
