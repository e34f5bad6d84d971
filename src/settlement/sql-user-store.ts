import { sql } from 'kysely';
import {
  type Duty,
  type Opening,
  type PeriodKey,
  type PeriodRow,
  periodKey,
  type UserFacts,
} from '../protocol/periods.ts';
import type { LogoutReason } from '../protocol/reasons.ts';
import { mergeDuties } from './duties.ts';
import type { SqlConnection, SqlDialect, SqlExecutor, SqlExpression, UsersTable } from './sql-dialect.ts';
import { isLocked } from './sql-errors.ts';
import { type UserStore, UsersLocked } from './user-store.ts';

export interface SqlUserStoreOptions {
  /** `undefined`: settle into `lingxi_periods` only. */
  readonly users: UsersTable | undefined;
  readonly createsUsers: boolean;
  readonly loginResetsTime: boolean;
}

interface SqlPeriod {
  readonly user_id: number;
  readonly period: number | null;
  readonly login_at: number;
  readonly last_seen_at: number | null;
  readonly logout_at: number | null;
  readonly reason: LogoutReason | null;
  readonly settled_at: number | null;
  readonly node: string;
}

/**
 * {@link UserStore} in SQL. Each statement is the same for SQLite and PostgreSQL. In every transaction periods come before
 * users, and both in order of id, so that two writers never deadlock.
 */
export class SqlUserStore implements UserStore {
  readonly #connection: SqlConnection;
  readonly #db: SqlExecutor;
  readonly #dialect: SqlDialect;
  readonly #options: SqlUserStoreOptions;

  constructor(connection: SqlConnection, options: SqlUserStoreOptions) {
    this.#connection = connection;
    this.#db = connection.db;
    this.#dialect = connection.dialect;
    this.#options = options;
  }

  async lookup(userIds: readonly number[]): Promise<readonly UserFacts[]> {
    if (userIds.length === 0) return [];
    const { users } = this.#options;
    const known =
      users === undefined
        ? sql`1 = 1`
        : sql`exists (select 1 from ${users.table} u where u.${users.id} = batch.user_id)`;
    const found = await sql<SqlPeriod & { batch_id: number; known: boolean | number }>`
      select batch.user_id as batch_id, ${known} as known, ${this.#periodColumns()}
      from ${this.#ids(userIds)} left join lingxi_periods p on ${IS_NEWEST}`.execute(this.#db);
    const facts = new Map<number, UserFacts>();
    for (const row of found.rows) {
      const userId = row.batch_id;
      const canExist = users === undefined || userId <= users.maxId;
      facts.set(userId, { userId, exists: Boolean(row.known), canExist, newest: toPeriodRow(row) });
    }
    return userIds.flatMap((userId) => facts.get(userId) ?? []);
  }

  async open(openings: readonly Opening[]): Promise<void> {
    if (openings.length === 0) return;
    const { users, createsUsers, loginResetsTime } = this.#options;
    const sorted = [...openings].sort((a, b) => a.userId - b.userId || a.period - b.period);
    const batch = this.#dialect.batch([
      { name: 'user_id', type: 'integer', values: sorted.map(({ userId }) => userId) },
      { name: 'period', type: 'integer', values: sorted.map(({ period }) => period) },
      { name: 'login_at', type: 'integer', values: sorted.map((opening) => opening.loginAt) },
      { name: 'node', type: 'text', values: sorted.map(({ node }) => node) },
    ]);
    const loginAt = this.#dialect.toTime(sql`batch.login_at`);
    const statements: SqlExpression[] = [
      sql`insert into lingxi_periods (user_id, period, login_at, node)
        select batch.user_id, batch.period, ${loginAt}, batch.node from ${batch} where 1 = 1
        order by batch.user_id, batch.period on conflict do nothing`,
    ];
    if (users !== undefined) {
      const newest = newestLogins(sorted);
      const logins = sql`(select batch.user_id, ${loginAt} as at from ${this.#dialect.batch([
        { name: 'user_id', type: 'integer', values: [...newest.keys()] },
        { name: 'login_at', type: 'integer', values: [...newest.values()] },
      ])})`;
      if (createsUsers) statements.push(this.#createUsers(users, logins));
      if (loginResetsTime)
        statements.push(...this.#lockUsers(users, sorted), this.#raiseTimes(users, logins));
    }
    await this.#writeUnlessLocked(sorted, statements);
  }

  async dropOpenings(openings: readonly PeriodKey[], node: string): Promise<void> {
    if (openings.length === 0) return;
    await sql`delete from lingxi_periods where settled_at is null and node = ${node} and (user_id, period) in (
      select batch.user_id, batch.period from ${this.#periods(openings)})`.execute(this.#db);
  }

  async settle(duties: readonly Duty[], settledAt: number): Promise<void> {
    if (duties.length === 0) return;
    const { users } = this.#options;
    const merged = mergeDuties(duties);
    const statements = [this.#closePeriods(merged, settledAt)];
    if (users !== undefined) {
      const keys = this.#dialect.batch([
        { name: 'user_id', type: 'integer', values: merged.map(({ userId }) => userId) },
        { name: 'period', type: 'integer', values: merged.map(({ period }) => period) },
      ]);
      // The row decides, not the duty: if an earlier or a `reconciled` logout lost, the user's time follows the winner.
      const logouts = sql`(select p.user_id, max(p.logout_at) as at from ${keys}
        join lingxi_periods p on p.user_id = batch.user_id and p.period = batch.period group by p.user_id)`;
      statements.push(...this.#lockUsers(users, merged), this.#raiseTimes(users, logouts));
    }
    await this.#writeUnlessLocked(merged, statements);
  }

  async openPeriods(page: {
    readonly limit: number;
    readonly after?: { readonly userId: number; readonly period: number };
  }): Promise<readonly PeriodRow[]> {
    const after =
      page.after === undefined
        ? sql`1 = 1`
        : sql`(p.period, p.user_id) > (cast(${page.after.period} as bigint), cast(${page.after.userId} as bigint))`;
    const found = await sql<SqlPeriod>`select ${this.#periodColumns()} from lingxi_periods p
      where p.settled_at is null and ${after} order by p.period, p.user_id limit ${page.limit}`.execute(
      this.#db,
    );
    return found.rows.flatMap((row) => toPeriodRow(row) ?? []);
  }

  async newestPeriods(userIds: readonly number[]): Promise<ReadonlyMap<number, PeriodRow>> {
    const newest = new Map<number, PeriodRow>();
    if (userIds.length === 0) return newest;
    const found = await sql<SqlPeriod>`select ${this.#periodColumns()}
      from ${this.#ids(userIds)} join lingxi_periods p on ${IS_NEWEST}`.execute(this.#db);
    for (const row of found.rows) {
      const period = toPeriodRow(row);
      if (period !== undefined) newest.set(period.userId, period);
    }
    return newest;
  }

  async areSettled(periods: readonly PeriodKey[]): Promise<readonly boolean[]> {
    if (periods.length === 0) return [];
    const found = await sql<{
      readonly user_id: unknown;
      readonly period: unknown;
    }>`select p.user_id, p.period
      from ${this.#periods(periods)} join lingxi_periods p on p.user_id = batch.user_id and p.period = batch.period
      where p.settled_at is not null`.execute(this.#db);
    const closed = new Set(
      found.rows.map(({ user_id, period }) => periodKey({ userId: Number(user_id), period: Number(period) })),
    );
    return periods.map((period) => closed.has(periodKey(period)));
  }

  async movePeriods(periods: readonly PeriodKey[], node: string): Promise<void> {
    if (periods.length === 0) return;
    const sorted = [...periods].sort((a, b) => a.userId - b.userId || a.period - b.period);
    await sql`update lingxi_periods as p set node = ${node} from ${this.#periods(sorted)}
      where p.user_id = batch.user_id and p.period = batch.period and p.settled_at is null
        and p.node <> ${node}`.execute(this.#db);
  }

  async noteNodeAlive(node: string, at: number): Promise<void> {
    const time = this.#dialect.toTime(sql`cast(${at} as bigint)`);
    await sql`insert into lingxi_nodes as n (node, last_alive_at) values (${node}, ${time})
      on conflict (node) do update set last_alive_at = excluded.last_alive_at
      where n.last_alive_at < excluded.last_alive_at`.execute(this.#db);
  }

  async nodeLives(nodes: readonly string[]): Promise<ReadonlyMap<string, number>> {
    if (nodes.length === 0) return new Map();
    const batch = this.#dialect.batch([{ name: 'node', type: 'text', values: [...new Set(nodes)] }]);
    const found = await sql<{ node: string; at: number }>`
      select n.node, ${this.#dialect.toMs(sql`n.last_alive_at`)} as at
      from ${batch} join lingxi_nodes n on n.node = batch.node`.execute(this.#db);
    return new Map(found.rows.map((row) => [row.node, row.at]));
  }

  withReconcilerLock(work: () => Promise<void>): Promise<boolean> {
    return this.#connection.withReconcilerLock(work);
  }

  async prunePeriods(before: number, limit: number): Promise<number> {
    const time = this.#dialect.toTime(sql`cast(${before} as bigint)`);
    const deleted = await sql`delete from lingxi_periods where (user_id, period) in (
      select user_id, period from lingxi_periods where settled_at is not null and logout_at < ${time}
      order by logout_at limit ${limit})`.execute(this.#db);
    // Each start of a node leaves a row. Rows that no open period needs are deleted too.
    await sql`delete from lingxi_nodes where last_alive_at < ${time} and not exists (
      select 1 from lingxi_periods p where p.settled_at is null and p.node = lingxi_nodes.node)`.execute(
      this.#db,
    );
    return Number(deleted.numAffectedRows ?? 0n);
  }

  ping(): Promise<void> {
    return this.#connection.ping();
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  #closePeriods(duties: readonly Duty[], settledAt: number): SqlExpression {
    const dialect = this.#dialect;
    const batch = dialect.batch([
      { name: 'user_id', type: 'integer', values: duties.map(({ userId }) => userId) },
      { name: 'period', type: 'integer', values: duties.map(({ period }) => period) },
      { name: 'login_at', type: 'integer', values: duties.map(({ loginAt }) => loginAt) },
      { name: 'last_seen_at', type: 'integer', values: duties.map(({ lastSeenAt }) => lastSeenAt) },
      { name: 'logout_at', type: 'integer', values: duties.map(({ logoutAt }) => logoutAt) },
      { name: 'reason', type: 'text', values: duties.map(({ reason }) => reason) },
      { name: 'node', type: 'text', values: duties.map(({ node }) => node) },
    ]);
    const logoutAt = dialect.toTime(sql`batch.logout_at`);
    const lastSeenAt = dialect.toTime(sql`batch.last_seen_at`);
    const nextLogin = sql`(select min(later.login_at) from lingxi_periods later
      where later.user_id = batch.user_id and later.period > batch.period)`;
    return sql`insert into lingxi_periods as p
        (user_id, period, login_at, last_seen_at, logout_at, reason, settled_at, node)
      select batch.user_id, batch.period, ${dialect.toTime(sql`batch.login_at`)},
        case when batch.reason = 'reconciled' then ${dialect.earlier(lastSeenAt, nextLogin)} else ${lastSeenAt} end,
        case when batch.reason = 'reconciled' then ${dialect.earlier(logoutAt, nextLogin)} else ${logoutAt} end,
        batch.reason, ${dialect.toTime(sql`cast(${settledAt} as bigint)`)}, batch.node
      from ${batch} where 1 = 1 order by batch.user_id, batch.period
      on conflict (user_id, period) do update set
        last_seen_at = excluded.last_seen_at, logout_at = excluded.logout_at, reason = excluded.reason,
        settled_at = excluded.settled_at, node = excluded.node
      where p.settled_at is null or (excluded.reason <> 'reconciled' and (excluded.logout_at > p.logout_at
        or (excluded.logout_at = p.logout_at and p.reason = 'reconciled')))`;
  }

  #createUsers(users: UsersTable, logins: SqlExpression): SqlExpression {
    const resets = this.#options.loginResetsTime;
    const columns = resets ? sql`${users.id}, ${users.time}` : users.id;
    const at = this.#dialect.toUserTime(sql`l.at`, users.timeType);
    const values = resets ? sql`l.user_id, ${at}` : sql`l.user_id`;
    return sql`insert into ${users.table} (${columns}) ${this.#dialect.overridingIdentity}
      select ${values} from ${logins} as l where l.user_id <= cast(${users.maxId} as bigint)
        and not exists (select 1 from ${users.table} u where u.${users.id} = l.user_id)
      order by l.user_id on conflict do nothing`;
  }

  /** One transaction. If it met a row that others lock, it asks whose rows they are. */
  async #writeUnlessLocked(
    rows: readonly { readonly userId: number }[],
    statements: readonly SqlExpression[],
  ): Promise<void> {
    const { users } = this.#options;
    try {
      await this.#connection.together(statements);
    } catch (error) {
      if (users === undefined || !isLocked(error)) throw error;
      const userIds = rows.map(({ userId }) => userId);
      throw new UsersLocked(await this.#lockedAmong(users, userIds), error);
    }
  }

  /** Fails if others lock one of the rows: a wait would hold up all users of the batch, and the logins of those before it. */
  #lockUsers(users: UsersTable, rows: readonly { readonly userId: number }[]): SqlExpression[] {
    const { rowLock } = this.#dialect;
    if (rowLock === undefined) return [];
    const ids = this.#ids(rows.map(({ userId }) => userId));
    const locked = sql`select 1 from ${users.table} u where u.${users.id} in (select batch.user_id from ${ids})
      order by u.${users.id} ${rowLock} nowait`;
    // A count, for nobody reads the rows.
    return [sql`select count(*) from (${locked}) as locked`];
  }

  /** The users whose rows other transactions hold at this moment. */
  async #lockedAmong(users: UsersTable, userIds: readonly number[]): Promise<ReadonlySet<number>> {
    const { rowLock } = this.#dialect;
    if (rowLock === undefined) return new Set();
    const ids = sql`(select batch.user_id from ${this.#ids(userIds)})`;
    const found = await sql<{ id: number }>`with free as (
        select u.${users.id} from ${users.table} u where u.${users.id} in ${ids} ${rowLock} skip locked)
      select u.${users.id} as id from ${users.table} u where u.${users.id} in ${ids}
        and u.${users.id} not in (select ${users.id} from free)`.execute(this.#db);
    return new Set(found.rows.map(({ id }) => id));
  }

  /** Never lowers a time, and treats NULL as never. `times` has one `at` per `user_id`. */
  #raiseTimes(users: UsersTable, times: SqlExpression): SqlExpression {
    const at = this.#dialect.toUserTime(sql`t.at`, users.timeType);
    return sql`update ${users.table} as u set ${users.time} = ${at} from ${times} as t
      where u.${users.id} = t.user_id and (u.${users.time} is null or u.${users.time} < ${at})`;
  }

  #ids(userIds: readonly number[]): SqlExpression {
    return this.#dialect.batch([{ name: 'user_id', type: 'integer', values: [...new Set(userIds)] }]);
  }

  #periods(periods: readonly PeriodKey[]): SqlExpression {
    return this.#dialect.batch([
      { name: 'user_id', type: 'integer', values: periods.map(({ userId }) => userId) },
      { name: 'period', type: 'integer', values: periods.map(({ period }) => period) },
    ]);
  }

  #periodColumns(): SqlExpression {
    const ms = (column: string): SqlExpression =>
      sql`${this.#dialect.toMs(sql`p.${sql.id(column)}`)} as ${sql.id(column)}`;
    return sql`p.user_id, p.period, ${ms('login_at')}, ${ms('last_seen_at')}, ${ms('logout_at')}, p.reason,
      ${ms('settled_at')}, p.node`;
  }
}

/** Joins the newest period `p` to each `batch.user_id` by two steps in the primary key. */
const IS_NEWEST = sql`p.user_id = batch.user_id
  and p.period = (select max(q.period) from lingxi_periods q where q.user_id = batch.user_id)`;

/** The time of the newest login of each user. */
function newestLogins(openings: readonly Opening[]): ReadonlyMap<number, number> {
  const newest = new Map<number, number>();
  for (const { userId, loginAt } of openings)
    newest.set(userId, Math.max(loginAt, newest.get(userId) ?? loginAt));
  return newest;
}

function toPeriodRow(row: SqlPeriod): PeriodRow | undefined {
  if (row.period === null) return undefined;
  return {
    userId: row.user_id,
    period: row.period,
    loginAt: row.login_at,
    lastSeenAt: row.last_seen_at,
    logoutAt: row.logout_at,
    reason: row.reason,
    settledAt: row.settled_at,
    node: row.node,
  };
}
