import { join } from 'node:path';
import { Kysely, type SqliteDatabase, SqliteDialect, type SqliteStatement, sql } from 'kysely';
import Database from 'libsql';
import { keepPrivate, makePrivateFile, makePrivateFolder } from '../config/make-folder.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { oneAtATime } from './one-at-a-time.ts';
import type {
  BatchColumn,
  SqlConnection,
  SqlDialect,
  SqlExecutor,
  StartFailure,
  UserStoreOptions,
  UsersTable,
} from './sql-dialect.ts';
import { embeddedFailure, isBusy, SQLITE_FILE } from './sqlite-faults.ts';
import { lengthenLog } from './sqlite-log.ts';
import { NO_USERS_TABLE, parseTableName, tableExpression, usersTableFailures } from './users-table.ts';

/** A wait for another process's write blocks the event loop, so it is far shorter than `LINGXI_SQL_TIMEOUT_MS`. */
const MAX_BUSY_WAIT_MS = 500;
/**
 * A program that recovers, closes or copies the database locks it for moments, even against those who only read. Nobody is
 * connected to a server that starts, so the start may wait longer than a write.
 */
const OPENING_WAIT_MS = 2_000;
/** A ping comes each second and blocks the event loop while it waits. So does each write while a lock lasts. */
const SHORT_WAIT_MS = 20;
/** There are only a few statements. More means that somebody builds SQL from values. */
const STATEMENT_CACHE_SIZE = 64;
/**
 * Waits for the migration lock, many times and each time shortly. If the holder is in this process, one long wait would
 * block the loop that the holder needs.
 */
const EXCLUSIVE_WAIT_MS = 25;
const EXCLUSIVE_ATTEMPTS = 400;

/** Opens the embedded database `lingxi.db` in the data folder. Creates both if they are missing. */
export function openSqlite(options: UserStoreOptions): Result<SqlConnection, StartFailure> {
  const file = join(options.dataDir, SQLITE_FILE);
  try {
    makePrivateFolder(options.dataDir);
    // SQLite gives its other files the mode of this one; existing files keep theirs.
    makePrivateFile(file);
    for (const suffix of ['-wal', '-shm']) keepPrivate(`${file}${suffix}`);
    const database = new Database(file);
    const caching = new CachingDatabase(database, busyTimeoutMs(options));
    caching.waitAtMost(OPENING_WAIT_MS);
    caching.prepare('pragma journal_mode = wal').all([]);
    caching.prepare('pragma synchronous = full').all([]);
    // Opening does not write. So test now, not at the first login, that the folder and the file are writable.
    database.exec('begin immediate; commit');
    caching.waitAsUsual();
    lengthenLog(`${file}-wal`);
    return ok(connection(caching, options));
  } catch (error) {
    return err(embeddedFailure(options.dataDir, error));
  }
}

export const sqliteDialect: SqlDialect = {
  timeType: sql`integer`,
  batch(columns) {
    const fields = columns.map((column, index) => sql`value ->> ${sql.lit(index)} as ${sql.id(column.name)}`);
    return sql`(select ${sql.join(fields)} from json_each(${rowsAsJson(columns)})) as batch`;
  },
  toTime: (ms) => ms,
  toMs: (time) => time,
  toUserTime: (time) => time,
  earlier: (time, orNull) => sql`min(${time}, coalesce(${orNull}, ${time}))`,
  rowLock: undefined,
  overridingIdentity: sql``,
};

function rowsAsJson(columns: readonly BatchColumn[]): string {
  const count = columns[0]?.values.length ?? 0;
  return JSON.stringify(
    Array.from({ length: count }, (_, row) => columns.map((column) => column.values[row])),
  );
}

function connection(database: CachingDatabase, options: UserStoreOptions): SqlConnection {
  const db: SqlExecutor = new Kysely<unknown>({ dialect: new SqliteDialect({ database }) });
  const tableExists = async (name: string): Promise<boolean> => {
    const found =
      await sql`select 1 from sqlite_master where type in ('table', 'view') and name = ${name}`.execute(db);
    return found.rows.length > 0;
  };
  return {
    dialect: sqliteDialect,
    db,
    together: (statements) =>
      db.transaction().execute(async (tx) => {
        for (const statement of statements) await statement.execute(tx);
      }),
    tableExists,
    exclusively: (work) => exclusively(db, database, work),
    async missingUsersTable() {
      const name = parseTableName(options.usersTable);
      if (options.usersTable === NO_USERS_TABLE || name === undefined || !isMainSchema(name.schema))
        return undefined;
      if (await tableExists(name.table)) return undefined;
      const id = sql.id(options.usersIdColumn);
      const time = sql.id(options.usersTimeColumn);
      return {
        async create(tx) {
          await sql`create table if not exists ${tableExpression(name)} (${id} integer primary key, ${time} integer)`.execute(
            tx,
          );
        },
      };
    },
    role: () => Promise.resolve(undefined),
    inspectUsers: () => inspectUsers(db, options),
    // One process owns an embedded database, so only this process needs a lock.
    withReconcilerLock: oneAtATime(async (work) => {
      await work();
      return true;
    }),
    ping: () => ping(db, database),
    close: () => db.destroy(),
  };
}

async function exclusively<Value>(
  db: SqlExecutor,
  database: CachingDatabase,
  work: (tx: SqlExecutor) => Promise<Value>,
): Promise<Value> {
  return db.connection().execute(async (tx) => {
    database.waitAtMost(EXCLUSIVE_WAIT_MS);
    try {
      await beginExclusive(tx);
      const value = await work(tx);
      await sql`commit`.execute(tx);
      return value;
    } catch (error) {
      await sql`rollback`.execute(tx);
      throw error;
    } finally {
      database.waitAsUsual();
    }
  });
}

/** Takes the lock that every write needs, and releases it. A read would succeed while another program holds it. */
async function ping(db: SqlExecutor, database: CachingDatabase): Promise<void> {
  await db.connection().execute(async (tx) => {
    database.waitAtMost(SHORT_WAIT_MS);
    try {
      await sql`begin immediate`.execute(tx);
    } finally {
      await sql`rollback`.execute(tx);
      database.waitAsUsual();
    }
  });
}

async function beginExclusive(tx: SqlExecutor): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await sql`begin exclusive`.execute(tx);
      return;
    } catch (error) {
      if (attempt >= EXCLUSIVE_ATTEMPTS || !isBusy(error)) throw error;
    }
  }
}

function busyTimeoutMs(options: UserStoreOptions): number {
  return Math.max(1, Math.min(MAX_BUSY_WAIT_MS, Math.floor(options.sqlTimeoutMs)));
}

async function inspectUsers(
  db: SqlExecutor,
  options: UserStoreOptions,
): Promise<Result<UsersTable, StartFailure>> {
  const name = parseTableName(options.usersTable);
  if (name === undefined) return err(usersTableFailures.badName(options));
  if (!isMainSchema(name.schema)) return err(usersTableFailures.foreignSchema(options));
  const found = await sql<{
    name: string;
    type: string;
  }>`select name, type from pragma_table_info(${name.table})`.execute(db);
  if (found.rows.length === 0) return err(usersTableFailures.missingTable(options));
  const columns = [
    { column: options.usersIdColumn, variable: 'LINGXI_USERS_ID_COLUMN' },
    { column: options.usersTimeColumn, variable: 'LINGXI_USERS_TIME_COLUMN' },
  ];
  for (const { column, variable } of columns) {
    const type = found.rows.find((row) => row.name === column)?.type;
    if (type === undefined) {
      return err(usersTableFailures.missingColumn(options, { column, table: name, type: 'integer' }));
    }
    if (!/int/i.test(type)) {
      return err(usersTableFailures.badColumnType(options, { column, type, allowed: 'integer', variable }));
    }
  }
  return ok({
    table: tableExpression(name),
    id: sql.id(options.usersIdColumn),
    time: sql.id(options.usersTimeColumn),
    timeType: 'bigint',
    maxId: Number.MAX_SAFE_INTEGER,
  });
}

function isMainSchema(schema: string | undefined): boolean {
  return schema === undefined || schema === 'main';
}

const BEGIN = 'begin immediate';
const WRITES = /^\s*(insert|update|delete)\b/i;

/** libsql in the form that kysely needs. It caches prepared statements, because parsing costs more than running them. */
class CachingDatabase implements SqliteDatabase {
  readonly #database: Database.Database;
  readonly #statements = new Map<string, SqliteStatement>();
  readonly #usualWaitMs: number;
  #waitMs = 0;
  /** A write has waited in vain, and none has got the lock since. */
  #isLocked = false;

  constructor(database: Database.Database, usualWaitMs: number) {
    this.#database = database;
    this.#usualWaitMs = usualWaitMs;
    this.waitAsUsual();
  }

  /** How long what follows waits for the lock of another program, and blocks the event loop. */
  waitAtMost(ms: number): void {
    if (ms === this.#waitMs) return;
    this.#waitMs = ms;
    this.prepare(`pragma busy_timeout = ${ms}`).all([]);
  }

  /** While a lock lasts, only the first write waits for long: else one login after the other would block the loop. */
  waitAsUsual(): void {
    this.waitAtMost(this.#isLocked ? Math.min(SHORT_WAIT_MS, this.#usualWaitMs) : this.#usualWaitMs);
  }

  prepare(text: string): SqliteStatement {
    // SQLite rolls back by itself on some errors; a second rollback would hide the first error.
    if (text === 'rollback' && !this.#database.inTransaction) return NOTHING_TO_ROLL_BACK;
    // libsql never resets a statement after SQLITE_BUSY: if it writes, no transaction commits from then on. So only the
    // BEGIN may meet it, and the next BEGIN resets it.
    if (text === 'begin') return this.prepare(BEGIN);
    const known = this.#statements.get(text);
    if (known !== undefined) return known;
    const adapted = adapt(this.#database.prepare(text));
    const prepared =
      text === BEGIN ? this.#noticing(adapted) : WRITES.test(text) ? this.#withLock(adapted) : adapted;
    if (this.#statements.size >= STATEMENT_CACHE_SIZE) {
      for (const oldest of this.#statements.keys()) {
        this.#statements.delete(oldest);
        break;
      }
    }
    this.#statements.set(text, prepared);
    return prepared;
  }

  /** Notices whether another program holds the lock. */
  #noticing(begin: SqliteStatement): SqliteStatement {
    const run: SqliteStatement['run'] = (parameters) => {
      try {
        const begun = begin.run(parameters);
        if (this.#isLocked) this.#lockedIs(false);
        return begun;
      } catch (error) {
        if (isBusy(error) && this.#waitMs === this.#usualWaitMs) this.#lockedIs(true);
        throw error;
      }
    };
    return { ...begin, run };
  }

  #lockedIs(isLocked: boolean): void {
    this.#isLocked = isLocked;
    this.waitAsUsual();
  }

  /** A single write takes the lock by its own BEGIN. */
  #withLock(statement: SqliteStatement): SqliteStatement {
    const locked =
      <Value>(work: (parameters: readonly unknown[]) => Value) =>
      (parameters: readonly unknown[]): Value => {
        if (this.#database.inTransaction) return work(parameters);
        this.prepare(BEGIN).run([]);
        try {
          const value = work(parameters);
          this.prepare('commit').run([]);
          return value;
        } catch (error) {
          this.prepare('rollback').run([]);
          throw error;
        }
      };
    return {
      ...statement,
      all: locked((parameters) => statement.all(parameters)),
      run: locked((parameters) => statement.run(parameters)),
    };
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }
}

function adapt(statement: Database.Statement): SqliteStatement {
  const reader = statement.reader;
  return {
    reader,
    all: (parameters) => statement.all([...parameters]),
    run: (parameters) => statement.run([...parameters]),
    iterate: (parameters) => statement.iterate([...parameters]),
  };
}

const NOTHING_TO_ROLL_BACK: SqliteStatement = {
  reader: false,
  all: () => [],
  run: () => ({ changes: 0, lastInsertRowid: 0 }),
  iterate: () => [].values(),
};
