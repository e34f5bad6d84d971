import { Kysely, PostgresDialect, sql } from 'kysely';
import { err, ok, type Result } from '../lib/result.ts';
import { OWN_TABLE_RIGHTS } from './grants.ts';
import { oneAtATime } from './one-at-a-time.ts';
import {
  createPostgresPool,
  guardedPool,
  type PostgresPoolOptions,
  type TimeoutScope,
} from './postgres-pool.ts';
import { connectFailure, refusesStartupParameter } from './postgres-refusals.ts';
import { inspectPostgresUsers } from './postgres-users.ts';
import type {
  ConnectedRole,
  SqlConnection,
  SqlDialect,
  SqlExecutor,
  SqlExpression,
  StartFailure,
  UserStoreOptions,
} from './sql-dialect.ts';

/** An index on a big table takes long, and so does the wait for another node's migration. */
const MIGRATION_TIMEOUT_MS = 600_000;
/** A reconciler that freezes in the middle of a pass loses the lock after this time. */
const RECONCILER_IDLE_MS = 30_000;
const MIGRATION_LOCK = 'lingxi.migrate';
const RECONCILER_LOCK = 'lingxi.reconcile';

/** Connects to the operator's PostgreSQL. */
export async function openPostgres(
  options: UserStoreOptions & { readonly databaseUrl: string },
): Promise<Result<SqlConnection, StartFailure>> {
  try {
    const direct = await tryOpen(options, 'connection');
    if (direct !== undefined) return ok(connection(direct, { ...options, timeoutScope: 'connection' }));
    const pooled = await tryOpen(options, 'transaction');
    if (pooled === undefined) throw new Error('the time-outs of a statement cannot be set');
    return ok(connection(pooled, { ...options, timeoutScope: 'transaction' }));
  } catch (error) {
    return err({ message: connectFailure(options.databaseUrl, error) });
  }
}

type OpenPool = Pick<SqlConnection, 'db' | 'together'>;

interface PostgresOptions extends UserStoreOptions {
  readonly databaseUrl: string;
  readonly timeoutScope: TimeoutScope;
}

/**
 * A pool with working timeouts, or `undefined` if they do not work in this scope: PgBouncer refuses them at the start of
 * a connection, or accepts and ignores them. Rejects if there is no connection at all.
 */
async function tryOpen(
  options: UserStoreOptions & { readonly databaseUrl: string },
  timeoutScope: TimeoutScope,
): Promise<OpenPool | undefined> {
  const { sqlPool, sqlTimeoutMs } = options;
  const pool = openPool(
    { ...options, timeoutScope },
    { max: sqlPool, statementTimeoutMs: sqlTimeoutMs, idleInTransactionMs: sqlTimeoutMs },
  );
  try {
    const found = await sql<{ ms: string }>`
      select setting as ms from pg_settings where name = 'statement_timeout'`.execute(pool.db);
    if (found.rows[0]?.ms === String(sqlTimeoutMs)) return pool;
  } catch (error) {
    await pool.db.destroy();
    if (timeoutScope === 'connection' && refusesStartupParameter(error)) return undefined;
    throw error;
  }
  await pool.db.destroy();
  return undefined;
}

export const postgresDialect: SqlDialect = {
  timeType: sql`timestamptz`,
  batch(columns) {
    const arrays = columns.map((column) =>
      // As text: the driver would check each number for characters to escape.
      column.type === 'integer'
        ? sql`${`{${column.values.join(',')}}`}::bigint[]`
        : sql`${column.values}::text[]`,
    );
    const names = columns.map((column) => sql.id(column.name));
    return sql`unnest(${sql.join(arrays)}) as batch(${sql.join(names)})`;
  },
  // Exact, unlike to_timestamp(): it never converts whole milliseconds to a fraction of a second.
  toTime: (ms) => sql`(timestamptz 'epoch' + (${ms}) * interval '1 millisecond')`,
  toMs: epochMs,
  toUserTime(time, type) {
    switch (type) {
      case 'timestamptz':
        return time;
      case 'timestamp':
        return sql`((${time}) at time zone 'UTC')`;
      case 'bigint':
        return epochMs(time);
    }
  },
  earlier: (time, orNull) => sql`least(${time}, ${orNull})`,
  rowLock: sql`for no key update`,
  overridingIdentity: sql`overriding system value`,
};

function epochMs(time: SqlExpression): SqlExpression {
  return sql`round(extract(epoch from ${time}) * 1000)::bigint`;
}

function openPool(
  { databaseUrl, sqlTimeoutMs, timeoutScope }: PostgresOptions,
  limits: Pick<PostgresPoolOptions, 'max' | 'statementTimeoutMs' | 'idleInTransactionMs'>,
): OpenPool {
  const options = { databaseUrl, timeoutScope, connectTimeoutMs: sqlTimeoutMs, ...limits };
  const pool = guardedPool(createPostgresPool(options), options);
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  return { db, together: (statements) => pool.together(statements.map((each) => each.compile(db))) };
}

function connection({ db, together }: OpenPool, options: PostgresOptions): SqlConnection {
  // Not from the pool: the pass holds this connection while its statements need others, and a pool of 1 must suffice.
  const { db: lockDb } = openPool(options, {
    max: 1,
    statementTimeoutMs: options.sqlTimeoutMs,
    idleInTransactionMs: RECONCILER_IDLE_MS,
  });
  return {
    dialect: postgresDialect,
    db,
    together,
    async tableExists(name) {
      const found = await sql<{ found: boolean }>`select to_regclass(${name}) is not null as found`.execute(
        db,
      );
      return found.rows[0]?.found === true;
    },
    exclusively: (work) => exclusively(options, work),
    missingUsersTable: () => Promise.resolve(undefined),
    role: () => connectedRole(db),
    inspectUsers: () => inspectPostgresUsers(db, options),
    // One connection has the lock. A second caller in this process would wait for it instead of being refused.
    withReconcilerLock: oneAtATime((work) => withReconcilerLock(lockDb, work)),
    async ping() {
      await sql`select 1`.execute(db);
    },
    async close() {
      await Promise.all([db.destroy(), lockDb.destroy()]);
    },
  };
}

async function connectedRole(db: SqlExecutor): Promise<ConnectedRole | undefined> {
  const wanted = OWN_TABLE_RIGHTS.flatMap(({ table, rights }) =>
    rights.map((right) => sql`(${table}::text, ${right}::text)`),
  );
  // A table that does not exist yet gives NULL, which does not count.
  const found = await sql<ConnectedRole>`
    select current_user as role, coalesce(current_schema(), 'public') as schema,
      coalesce(bool_and(has_table_privilege(to_regclass(wanted.name), wanted.privilege)), true) as "mayUseOwnTables"
    from (values ${sql.join(wanted)}) as wanted (name, privilege)`.execute(db);
  return found.rows[0];
}

async function exclusively<Value>(
  options: PostgresOptions,
  work: (tx: SqlExecutor) => Promise<Value>,
): Promise<Value> {
  const { db } = openPool(options, {
    max: 1,
    statementTimeoutMs: MIGRATION_TIMEOUT_MS,
    idleInTransactionMs: MIGRATION_TIMEOUT_MS,
  });
  try {
    return await db.transaction().execute(async (tx) => {
      await sql`select pg_advisory_xact_lock(${lockKey(MIGRATION_LOCK)})`.execute(tx);
      return work(tx);
    });
  } finally {
    await db.destroy();
  }
}

/** The lock belongs to a transaction, so it ends with the connection of a process that dies or freezes. */
async function withReconcilerLock(lockDb: SqlExecutor, work: () => Promise<void>): Promise<boolean> {
  return lockDb.transaction().execute(async (tx) => {
    const got = await sql<{
      locked: boolean;
    }>`select pg_try_advisory_xact_lock(${lockKey(RECONCILER_LOCK)}) as locked`.execute(tx);
    if (got.rows[0]?.locked !== true) return false;
    await work();
    return true;
  });
}

/** Advisory locks share one space in a database, so deployments in different schemas need different keys. */
function lockKey(name: string): SqlExpression {
  return sql`hashtextextended(coalesce(current_schema(), '') || ${`.${name}`}::text, 0)`;
}
