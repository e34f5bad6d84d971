import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import type { Duty, Opening } from '../../src/protocol/periods.ts';
import { createUserStore } from '../../src/settlement/create-user-store.ts';
import type { UserStoreOptions } from '../../src/settlement/sql-dialect.ts';
import type { UserStore } from '../../src/settlement/user-store.ts';
import type { PgBouncer } from './pgbouncer.ts';
import type { PostgresDatabase, PostgresServer } from './services.ts';

/** A database for one test, with the operator's users table, created and inspected from outside. */
export interface TestDatabase {
  readonly options: UserStoreOptions;
  /** Runs statements as the operator would. */
  run(text: string): Promise<void>;
  rows(text: string): Promise<readonly Record<string, unknown>[]>;
  putUser(id: number, timeMs: number | null): Promise<void>;
  /** Milliseconds; `null` is NULL, `undefined` means that the row is missing. */
  userTime(id: number): Promise<number | null | undefined>;
  remove(): Promise<void>;
}

export const BASE_OPTIONS: UserStoreOptions = {
  databaseUrl: undefined,
  dataDir: '',
  sqlPool: 4,
  sqlTimeoutMs: 2000,
  migrate: 'auto',
  usersTable: 'users',
  usersIdColumn: 'id',
  usersTimeColumn: 'last_spirit_gain_time',
  unknownUsers: 'reject',
  loginResetsTime: true,
};

export function sqliteDatabase(): TestDatabase {
  const dataDir = mkdtempSync(join(tmpdir(), 'lingxi-sql-'));
  const withDatabase = <Value>(work: (database: Database.Database) => Value): Value => {
    const database = new Database(join(dataDir, 'lingxi.db'));
    try {
      return work(database);
    } finally {
      database.close();
    }
  };
  const rows = (text: string): readonly Record<string, unknown>[] =>
    withDatabase((database) => database.prepare(text).all() as Record<string, unknown>[]);
  return {
    options: { ...BASE_OPTIONS, dataDir },
    run: (text) => Promise.resolve(withDatabase((database) => void database.exec(text))),
    rows: (text) => Promise.resolve(rows(text)),
    putUser: (id, timeMs) =>
      Promise.resolve(
        withDatabase(
          (database) => void database.exec(`insert into users values (${id}, ${timeMs ?? 'null'})`),
        ),
      ),
    userTime(id) {
      const row = rows(`select last_spirit_gain_time as at from users where id = ${id}`)[0];
      return Promise.resolve(row === undefined ? undefined : (row['at'] as number | null));
    },
    remove: () => Promise.resolve(rmSync(dataDir, { recursive: true, force: true })),
  };
}

export interface UsersShape {
  readonly table?: string;
  readonly idType?: string;
  readonly timeType?: 'timestamptz' | 'timestamp' | 'bigint';
}

let databases = 0;

export async function postgresDatabase(
  server: PostgresServer,
  shape: UsersShape = {},
): Promise<TestDatabase> {
  databases += 1;
  const name = `settlement_${databases}`;
  const database: PostgresDatabase = await server.createDatabase(name);
  const table = shape.table ?? 'users';
  const timeType = shape.timeType ?? 'timestamptz';
  const [schema] = table.includes('.') ? table.split('.') : [];
  if (schema !== undefined) await database.query(`create schema ${schema}`);
  await database.query(
    `create table ${table} (id ${shape.idType ?? 'integer'} primary key, last_spirit_gain_time ${timeType}, name text)`,
  );
  // The session's time zone differs from UTC, as an operator's may: times without a zone must still be UTC.
  await database.query(`alter database ${name} set timezone to 'Asia/Shanghai'`);
  const asMs = {
    timestamptz: 'extract(epoch from last_spirit_gain_time) * 1000',
    timestamp: `extract(epoch from last_spirit_gain_time at time zone 'UTC') * 1000`,
    bigint: 'last_spirit_gain_time',
  }[timeType];
  const fromMs = (ms: number): string =>
    timeType === 'bigint'
      ? String(ms)
      : timeType === 'timestamptz'
        ? `to_timestamp(${ms / 1000})`
        : `to_timestamp(${ms / 1000}) at time zone 'UTC'`;
  return {
    options: { ...BASE_OPTIONS, databaseUrl: database.url, usersTable: table },
    run: async (text) => void (await database.query(text)),
    rows: (text) => database.query(text),
    putUser: async (id, timeMs) =>
      void (await database.query(
        `insert into ${table} (id, last_spirit_gain_time) values (${id}, ${timeMs === null ? 'null' : fromMs(timeMs)})`,
      )),
    async userTime(id) {
      const found = await database.query(`select ${asMs} as at from ${table} where id = ${id}`);
      const at = found[0]?.['at'];
      return found.length === 0 ? undefined : at === null ? null : Math.round(Number(at));
    },
    remove: () => database.stop(),
  };
}

export async function openStore(options: UserStoreOptions): Promise<UserStore> {
  const created = await createUserStore(options);
  if (!created.ok) throw new Error(created.error.message);
  return created.value;
}

export function opening(fields: Partial<Opening> & { readonly userId: number }): Opening {
  return { period: 1_000_000, loginAt: 1_000_000, node: 'node-a#1', ...fields };
}

export function duty(fields: Partial<Duty> & { readonly userId: number }): Duty {
  return {
    id: `${fields.userId}`,
    period: 1_000_000,
    loginAt: 1_000_000,
    logoutAt: 2_000_000,
    lastSeenAt: 1_990_000,
    reason: 'timeout',
    node: 'node-a#1',
    ...fields,
  };
}

export interface UserStoreSubject {
  readonly name: string;
  readonly make: () => TestDatabase | Promise<TestDatabase>;
}

/** Every kind of database that a user store supports. The servers start when a subject is created. */
export function userStoreSubjects(servers: {
  readonly server: () => PostgresServer;
  readonly pooler: () => PgBouncer;
}): readonly UserStoreSubject[] {
  const postgres = (options?: Parameters<typeof postgresDatabase>[1]): Promise<TestDatabase> =>
    postgresDatabase(servers.server(), options);
  return [
    { name: 'SQLite', make: sqliteDatabase },
    { name: 'PostgreSQL, int4, timestamptz', make: () => postgres() },
    {
      name: 'PostgreSQL, int8, timestamp',
      make: () => postgres({ idType: 'bigint', timeType: 'timestamp' }),
    },
    {
      name: 'PostgreSQL by way of PgBouncer, transactions pooled',
      async make() {
        const database = await postgres();
        const url = new URL(database.options.databaseUrl ?? '');
        url.port = String(servers.pooler().port);
        return { ...database, options: { ...database.options, databaseUrl: url.href } };
      },
    },
    {
      name: 'PostgreSQL, a schema, bigint',
      make: () => postgres({ table: 'game.users', timeType: 'bigint' }),
    },
  ];
}

/** Makes the database refuse any change of user 13. */
export async function poison(database: TestDatabase): Promise<void> {
  const table = database.options.usersTable;
  if (database.options.databaseUrl === undefined) {
    await database.run(
      `create trigger poison before update on users when new.id = 13 begin select raise(abort, 'poison'); end`,
    );
    return;
  }
  await database.run(
    `create function poison() returns trigger language plpgsql as $$ begin raise exception 'poison'; end $$`,
  );
  await database.run(
    `create trigger poison before update on ${table} for each row when (new.id = 13) execute function poison()`,
  );
}
