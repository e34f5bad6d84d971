import { sql } from 'kysely';
import { err, ok, type Result } from '../lib/result.ts';
import { MIGRATIONS } from './migrations/index.ts';
import { openPostgres } from './postgres.ts';
import type { SqlConnection, SqlExecutor, StartFailure, UserStoreOptions } from './sql-dialect.ts';
import { describeError } from './sql-errors.ts';
import { openSqlite } from './sqlite.ts';

export { grantsNeeded } from './grants.ts';

const MIGRATIONS_TABLE = 'lingxi_migrations';
/** Shown among the migrations: the users table that the embedded database makes for itself. */
const USERS_TABLE_STEP = 'users-table';

/** Applies what is pending, under a lock, and answers the names applied, oldest first. */
export async function runMigrations(
  options: UserStoreOptions,
): Promise<Result<readonly string[], StartFailure>> {
  const opened = await openConnection(options);
  if (!opened.ok) return opened;
  try {
    return await migrate(opened.value, 'auto');
  } finally {
    await opened.value.close();
  }
}

/** Brings an open database up to date, or with `check` refuses one that is not. */
export async function migrate(
  connection: SqlConnection,
  mode: UserStoreOptions['migrate'],
): Promise<Result<readonly string[], StartFailure>> {
  try {
    const pending = await pendingSteps(connection, connection.db);
    if (pending.length === 0) return ok([]);
    if (mode === 'check') {
      return err({
        message: `The database lacks the migrations ${pending.join(', ')}: run lingxi migrate, or set LINGXI_MIGRATE=auto.`,
      });
    }
    return ok(await apply(connection));
  } catch (error) {
    return err({
      message: `The database could not be migrated (${describeError(error)}): run lingxi migrate with a role that may create tables.`,
    });
  }
}

export async function openConnection(
  options: UserStoreOptions,
): Promise<Result<SqlConnection, StartFailure>> {
  const { databaseUrl } = options;
  return databaseUrl === undefined ? openSqlite(options) : openPostgres({ ...options, databaseUrl });
}

async function pendingSteps(connection: SqlConnection, on: SqlExecutor): Promise<readonly string[]> {
  const applied = (await connection.tableExists(MIGRATIONS_TABLE)) ? await appliedNames(on) : new Set();
  const pending = MIGRATIONS.map(({ name }) => name).filter((name) => !applied.has(name));
  const users = await connection.missingUsersTable();
  return users === undefined ? pending : [...pending, USERS_TABLE_STEP];
}

async function apply(connection: SqlConnection): Promise<readonly string[]> {
  // Asked before the transaction: on SQLite it holds the only connection.
  const users = await connection.missingUsersTable();
  return connection.exclusively(async (tx) => {
    await sql`create table if not exists ${sql.id(MIGRATIONS_TABLE)} (name text primary key, applied_at timestamp with time zone not null default current_timestamp)`.execute(
      tx,
    );
    // Another process may have migrated while this one waited for the lock.
    const applied = await appliedNames(tx);
    const done: string[] = [];
    for (const migration of MIGRATIONS) {
      if (applied.has(migration.name)) continue;
      await migration.up(tx, connection.dialect);
      await sql`insert into ${sql.id(MIGRATIONS_TABLE)} (name) values (${migration.name})`.execute(tx);
      done.push(migration.name);
    }
    if (users !== undefined) {
      await users.create(tx);
      done.push(USERS_TABLE_STEP);
    }
    return done;
  });
}

async function appliedNames(on: SqlExecutor): Promise<ReadonlySet<string>> {
  const rows = await sql<{ name: string }>`select name from ${sql.id(MIGRATIONS_TABLE)}`.execute(on);
  return new Set(rows.rows.map((row) => row.name));
}
