import { isOnline } from '../../../src/presence/rules/record.ts';
import type { Duty, PeriodRow } from '../../../src/protocol/periods.ts';
import type { Deployment } from '../../../test/simulation/deployment.ts';
import type { Told } from './history-log.ts';

/** One period of one user, in the form of the ledger. */
export interface Line {
  readonly key: string;
  readonly user: number;
  readonly period: number;
  /** Simulated time at which the book first saw the period: in the feed or in SQL. */
  readonly openedAt: number;
  readonly loginAt: number;
  /** Simulated time at which the store ended it. */
  endedAt: number | undefined;
  /** When the store no longer had the period although it had not ended, as after a wipe. */
  missingSince: number | undefined;
  reason: string | undefined;
  /** Simulated time at which SQL had the logout. */
  settledAt: number | undefined;
  /** How often SQL was asked to write the logout. */
  asked: number;
  /** How often a write counted: 1. It is more only if a failover replaced the end by a later, correct one. */
  written: number;
  isLost: boolean;
  isTwice: boolean;
  gainedMs: number;
  state: 'running' | 'missing' | 'pending' | 'settled';
}

/** If no fault affects nodes and stores, a logout is written within this time: the reconciler's 12 s, plus its interval. */
const LOST_AFTER_MS = 30_000;
/** Clocks of nodes differ a little. */
const SKEW_MS = 50;

/** Compares SQL with the messages to clients and with the ends in the store. */
export class Book {
  readonly lines = new Map<string, Line>();
  readonly #deployment: Deployment;
  readonly #tell: (told: Told) => void;
  readonly #overlaps = new Set<string>();
  /** Since when no fault affects nodes and stores. */
  #calmSince = 0;

  constructor(deployment: Deployment, tell: (told: Told) => void) {
    this.#deployment = deployment;
    this.#tell = tell;
    this.#watchSql();
  }

  /** The store ended a period. */
  ended({ userId, period, loginAt, reason }: Omit<Duty, 'id'>): void {
    const line = this.#lineOf({ userId, period, loginAt });
    line.endedAt = this.#deployment.scheduler.now;
    line.reason = reason;
  }

  /** Called between two ticks. */
  look(isCalm: boolean): void {
    const { witness, sql, scheduler } = this.#deployment;
    if (!isCalm) this.#calmSince = scheduler.now;
    for (const { userId, period, loginTime } of witness.told.values())
      this.#lineOf({ userId, period, loginAt: loginTime });
    for (const row of sql.rows.values()) this.#lineOf(row);
    for (const line of this.lines.values()) this.#judge(line);
    for (const user of new Set([...this.lines.values()].map((line) => line.user))) this.#judgeOrder(user);
  }

  get pending(): number {
    return [...this.lines.values()].filter(({ state }) => state === 'pending' || state === 'missing').length;
  }

  #lineOf({ userId, period, loginAt }: Pick<PeriodRow, 'userId' | 'period' | 'loginAt'>): Line {
    const key = `${userId}:${period}`;
    const known = this.lines.get(key);
    if (known !== undefined) return known;
    const line: Line = {
      ...{ key, user: userId, period, loginAt, openedAt: this.#deployment.scheduler.now },
      ...{ endedAt: undefined, missingSince: undefined, reason: undefined, settledAt: undefined },
      ...{ asked: 0, written: 0, isLost: false, isTwice: false, gainedMs: 0, state: 'running' },
    };
    this.lines.set(key, line);
    return line;
  }

  #judge(line: Line): void {
    const { redis, sql, scheduler, witness } = this.#deployment;
    const record = redis.world.records.get(line.user);
    const isRunning = isOnline(record) && record.period === line.period;
    const row = sql.rows.get(line.key);
    line.state =
      row?.settledAt != null
        ? 'settled'
        : isRunning
          ? 'running'
          : line.endedAt === undefined
            ? 'missing'
            : 'pending';
    if (line.state === 'settled' || line.state === 'running') {
      line.missingSince = undefined;
      line.isLost = false;
      return;
    }
    line.missingSince ??= scheduler.now;
    const waited = scheduler.now - Math.max(line.missingSince, this.#calmSince);
    // A wipe removes the order. Then only the open row in SQL remains.
    const hasOrder =
      line.state === 'missing' ||
      witness.dutiesLost.has(line.key) ||
      redis.duties.all.some(({ userId, period }) => userId === line.user && period === line.period);
    if (line.isLost || (hasOrder && waited < LOST_AFTER_MS)) return;
    line.isLost = true;
    this.#tell({ kind: 'lost', user: line.user, period: line.period });
    witness.violated(
      `[ST2] ${line.key} ended, and ${hasOrder ? 'nobody writes it' : 'no order to write it is left'}`,
    );
  }

  /** No time counts in two periods of one user. */
  #judgeOrder(user: number): void {
    const { sql, witness } = this.#deployment;
    const lines = [...this.lines.values()].filter((line) => line.user === user);
    lines.sort((left, right) => left.period - right.period);
    lines.forEach(({ key, period }, index) => {
      const next = lines[index + 1];
      const logoutAt = sql.rows.get(key)?.logoutAt;
      if (next === undefined || logoutAt == null || logoutAt <= next.loginAt + SKEW_MS) return;
      // These bounds are the same as in the simulator's own witness (docs/RELIABILITY.md).
      const isExcused =
        witness.stepped ||
        witness.broughtBack.has(key) ||
        witness.dutiesLost.has(key) ||
        !witness.told.has(next.key);
      if (isExcused || this.#overlaps.has(key)) return;
      this.#overlaps.add(key);
      witness.violated(`[ST2] ${user}:${period} ends ${logoutAt - next.loginAt} ms after the next login`);
    });
  }

  /** Observes each write of a logout in SQL. */
  #watchSql(): void {
    const { sql } = this.#deployment;
    const settle = sql.settle.bind(sql);
    sql.settle = (duties, settledAt) => {
      const before = duties.map(({ userId, period }) => sql.rows.get(`${userId}:${period}`));
      settle(duties, settledAt);
      duties.forEach((duty, index) => this.#wrote(duty, before[index]));
    };
  }

  #wrote(duty: Duty, before: PeriodRow | undefined): void {
    const { sql, scheduler, witness } = this.#deployment;
    const line = this.#lineOf(duty);
    const after = sql.rows.get(line.key);
    line.asked += 1;
    const told = { user: line.user, period: line.period };
    if (after === undefined || after.settledAt === null || after.logoutAt === null) return;
    const gainedMs = Math.max(0, after.logoutAt - after.loginAt);
    if (after === before) return this.#tell({ kind: 'repeated', ...told, gainedMs });
    line.written += 1;
    line.settledAt ??= scheduler.now;
    line.reason = after.reason ?? undefined;
    line.gainedMs = gainedMs;
    if (before?.settledAt == null) return this.#tell({ kind: 'settled', ...told, gainedMs });
    const isTruer = after.logoutAt > (before.logoutAt ?? 0) || before.reason === 'reconciled';
    if (isTruer) return this.#tell({ kind: 'corrected', ...told, gainedMs });
    line.isTwice = true;
    this.#tell({ kind: 'twice', ...told, gainedMs });
    witness.violated(`[ST2] ${line.key} is written a second time`);
  }
}
