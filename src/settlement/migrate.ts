import { sql } from 'kysely';
import { err, ok, type Result } from '../lib/result.ts';
import { grantsNeeded } from './grants.ts';
import { MIGRATIONS } from './migrations/index.ts';
import type { SqlConnection, SqlExecutor, StartFailure, UserStoreOptions } from './sql-dialect.ts';
import { describeError } from './sql-errors.ts';
import { openSqlite } from './sqlite.ts';
import { embeddedFailure } from './sqlite-faults.ts';

const MIGRATIONS_TABLE = 'lingxi_migrations';
/** Shown among the migrations: the users table that the embedded database creates. */
const USERS_TABLE_STEP = 'users-table';

export interface Migrated {
  /** Names of the applied migrations, oldest first. */
  readonly applied: readonly string[];
  /** The grants that a server with another role needs. Empty on the embedded database. */
  readonly grants: readonly string[];
}

/** Applies the pending migrations, under a lock, as `lingxi migrate` does. `serverRole` gets the grants. */
export async function runMigrations(
  options: UserStoreOptions,
  serverRole?: string,
): Promise<Result<Migrated, StartFailure>> {
  const opened = await openConnection(options);
  if (!opened.ok) return opened;
  try {
    const applied = await migrate(opened.value, options, 'auto');
    if (!applied.ok) return applied;
    const connected = await opened.value.role();
    const grants =
      connected === undefined ? [] : grantsNeeded(options, { role: serverRole, schema: connected.schema });
    return ok({ applied: applied.value, grants });
  } finally {
    await opened.value.close();
  }
}

/** Migrates an open database, or with `check` refuses an old one. */
export async function migrate(
  connection: SqlConnection,
  options: UserStoreOptions,
  mode: UserStoreOptions['migrate'],
): Promise<Result<readonly string[], StartFailure>> {
  let role: string | undefined;
  try {
    const connected = await connection.role();
    role = connected?.role;
    if (connected?.mayUseOwnTables === false) {
      const grants = grantsNeeded(options, connected).join(' ');
      return err({
        message: `The database role ${connected.role} may not use the tables of Lingxi as needed: let their owner run ${grants}`,
      });
    }
    const found = await lookAtSteps(connection);
    if (!found.ok) return found;
    const pending = found.value;
    if (pending.length === 0) return ok([]);
    if (mode === 'check') {
      return err({
        message: `The database lacks the migrations ${pending.join(', ')}: run lingxi migrate, or set LINGXI_MIGRATE=auto.`,
      });
    }
    return await apply(connection);
  } catch (error) {
    if (options.databaseUrl === undefined) return err(embeddedFailure(options.dataDir, error));
    const named = role === undefined ? '' : ` --role ${role}`;
    return err({
      message: `The database could not be migrated (${describeError(error)}): run lingxi migrate${named} with a DATABASE_URL whose role may create tables.`,
    });
  }
}

export async function openConnection(
  options: UserStoreOptions,
): Promise<Result<SqlConnection, StartFailure>> {
  const { databaseUrl } = options;
  if (databaseUrl === undefined) return openSqlite(options);
  // The embedded database does without the client of PostgreSQL.
  const { openPostgres } = await import('./postgres.ts');
  return openPostgres({ ...options, databaseUrl });
}

/** The missing steps. Fails if the database has steps that this program does not know. */
async function lookAtSteps(connection: SqlConnection): Promise<Result<readonly string[], StartFailure>> {
  const isMigrated = await connection.tableExists(MIGRATIONS_TABLE);
  const applied = isMigrated ? await appliedNames(connection.db) : new Set<string>();
  const newer = newerThanThis(applied);
  if (newer !== undefined) return err(newer);
  const pending = MIGRATIONS.map(({ name }) => name).filter((name) => !applied.has(name));
  const users = await connection.missingUsersTable();
  return ok(users === undefined ? pending : [...pending, USERS_TABLE_STEP]);
}

/** An older program does not know the newer tables and could damage them. */
function newerThanThis(applied: ReadonlySet<string>): StartFailure | undefined {
  const known = new Set(MIGRATIONS.map(({ name }) => name));
  const newer = [...applied].filter((name) => !known.has(name)).sort();
  if (newer.length === 0) return undefined;
  return {
    message: `The database is newer than this program, which does not know the migrations ${newer.join(', ')}: start a newer version of Lingxi, or restore an older copy of the database.`,
  };
}

async function apply(connection: SqlConnection): Promise<Result<readonly string[], StartFailure>> {
  // This runs before the transaction, because on SQLite the transaction holds the only connection.
  const users = await connection.missingUsersTable();
  return connection.exclusively(async (tx) => {
    await sql`create table if not exists ${sql.id(MIGRATIONS_TABLE)} (name text primary key, applied_at timestamp with time zone not null default current_timestamp)`.execute(
      tx,
    );
    // Another process, perhaps a newer one, may have migrated while this one waited for the lock.
    const applied = await appliedNames(tx);
    const newer = newerThanThis(applied);
    if (newer !== undefined) return err(newer);
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
    return ok(done);
  });
}

async function appliedNames(on: SqlExecutor): Promise<ReadonlySet<string>> {
  const rows = await sql<{ name: string }>`select name from ${sql.id(MIGRATIONS_TABLE)}`.execute(on);
  return new Set(rows.rows.map((row) => row.name));
}
