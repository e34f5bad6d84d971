import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createUserStore } from '../../src/settlement/create-user-store.ts';
import { grantsNeeded } from '../../src/settlement/grants.ts';
import { runMigrations } from '../../src/settlement/migrate.ts';
import { ownUserStore } from '../../src/settlement/own-user-store.ts';
import type { UserStoreOptions } from '../../src/settlement/sql-dialect.ts';
import { isPermanentError } from '../../src/settlement/sql-errors.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import { type PostgresServer, startPostgres } from '../support/services.ts';
import {
  duty,
  opening,
  openStore,
  postgresDatabase,
  sqliteDatabase,
  type TestDatabase,
} from '../support/user-stores.ts';

const T = 1_700_000_000_123;

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

const made: TestDatabase[] = [];
async function fresh(make: () => TestDatabase | Promise<TestDatabase>): Promise<TestDatabase> {
  const database = await make();
  made.push(database);
  return database;
}
afterEach(async () => {
  for (const database of made.splice(0)) await database.remove();
});

async function failure(options: UserStoreOptions): Promise<string> {
  const created = await createUserStore(options);
  if (created.ok) {
    await created.value.close();
    throw new Error('it started');
  }
  return created.error.message;
}

describe.each([
  { name: 'SQLite', make: () => sqliteDatabase() },
  { name: 'PostgreSQL', make: () => postgresDatabase(server) },
])('migrations on $name', ({ make }) => {
  test('`check` refuses a database that lacks them and names the command; `migrate` applies them once', async () => {
    const { options } = await fresh(make);
    expect(await failure({ ...options, migrate: 'check' })).toMatch(/001-periods-and-nodes.*lingxi migrate/);
    const first = await runMigrations(options);
    expect(first).toMatchObject({ ok: true });
    expect(first.ok && first.value.applied[0]).toBe('001-periods-and-nodes');
    expect(await runMigrations(options)).toMatchObject({ ok: true, value: { applied: [] } });
    await (await openStore({ ...options, migrate: 'check' })).close();
  });

  test('[contract 2] `auto`, `check` and `migrate` refuse a database that a newer program has migrated', async () => {
    const { options, run, rows } = await fresh(make);
    await (await openStore(options)).close();
    await run("insert into lingxi_migrations (name) values ('999-from-the-future')");
    const sentence = /newer than this program.*999-from-the-future.*start a newer version/;
    expect(await failure(options)).toMatch(sentence);
    expect(await failure({ ...options, migrate: 'check' })).toMatch(sentence);
    expect(await runMigrations(options)).toMatchObject({
      ok: false,
      error: { message: expect.stringMatching(sentence) },
    });
    expect(await rows('select name from lingxi_migrations')).toHaveLength(2);
  });

  test('two programs that start at once migrate once', async () => {
    const { options, rows } = await fresh(make);
    const stores = await Promise.all([1, 2, 3].map(() => openStore(options)));
    await Promise.all(stores.map((store) => store.close()));
    expect(await rows('select name from lingxi_migrations')).toHaveLength(1);
  });

  test('the start is refused if the users table lacks columns or has wrong types', async () => {
    const { options, run } = await fresh(make);
    await run('create table if not exists players (id integer primary key, name text)');
    const players = { ...options, usersTable: 'players' };
    expect(await failure(players)).toMatch(/ALTER TABLE "players" ADD COLUMN "last_spirit_gain_time" /);
    expect(await failure({ ...players, usersIdColumn: 'uid' })).toContain('LINGXI_USERS_ID_COLUMN');
    expect(await failure({ ...players, usersTimeColumn: 'name' })).toMatch(
      /name .*type text.*LINGXI_USERS_TIME_COLUMN/i,
    );
    expect(await failure({ ...players, usersTable: 'a.b.c' })).toContain('LINGXI_USERS_TABLE');
  });

  test('SQL has the names of tables and columns in quotes', async () => {
    const { options, run, rows } = await fresh(make);
    await run('create table "Odd ""users" ("the id" integer primary key, "time""; --" bigint)');
    await run('insert into "Odd ""users" values (7, null)');
    const odd = { usersTable: '"Odd ""users"', usersIdColumn: 'the id', usersTimeColumn: 'time"; --' };
    const store = await openStore({ ...options, ...odd, unknownUsers: 'create' });
    await store.open([7, 8].map((userId) => opening({ userId, period: T, loginAt: T })));
    await store.settle([duty({ userId: 7, period: T, loginAt: T, logoutAt: T + 5 })], T + 6);
    await store.close();
    const times = await rows('select "time""; --" as at from "Odd ""users" order by 1');
    expect(times.map(({ at }) => Number(at))).toEqual([T, T + 5]);
  });
});

describe('the embedded database', () => {
  test('creates a missing users table with the configured names', async () => {
    const { options, rows } = await fresh(sqliteDatabase);
    await (
      await openStore({ ...options, usersTable: 'players', usersIdColumn: 'uid', usersTimeColumn: 'seen' })
    ).close();
    expect(await rows(`select name, type, pk from pragma_table_info('players')`)).toMatchObject([
      { name: 'uid', type: 'INTEGER', pk: 1 },
      { name: 'seen', type: 'INTEGER', pk: 0 },
    ]);
  });

  test('names the unusable folder', async () => {
    const { options } = await fresh(sqliteDatabase);
    writeFileSync(join(options.dataDir, 'file'), 'x');
    expect(await failure({ ...options, dataDir: join(options.dataDir, 'file', 'data') })).toMatch(
      /LINGXI_DATA_DIR/,
    );
    expect(
      await failure({ ...options, usersTable: 'game.users', dataDir: join(options.dataDir, 'b') }),
    ).toContain('schema');
  });
});

describe('a start on an embedded database that cannot be used says what to do', () => {
  const file = ({ dataDir }: UserStoreOptions): string => join(dataDir, 'lingxi.db');

  test('if the file has other content', async () => {
    const { options } = await fresh(sqliteDatabase);
    writeFileSync(file(options), 'not a database '.repeat(500));
    expect(await failure(options)).toMatch(/lingxi\.db has other content \(.*\): put back a copy/);
  });

  test('if a folder has its name', async () => {
    const { options } = await fresh(sqliteDatabase);
    mkdirSync(file(options));
    expect(await failure(options)).toMatch(/lingxi\.db is a folder, not a file: move it away/);
  });

  test('if the file is damaged', async () => {
    const { options, run } = await fresh(sqliteDatabase);
    await (await openStore(options)).close();
    // Moves all pages from the log to the file.
    await run('pragma wal_checkpoint(truncate)');
    const pages = readFileSync(file(options));
    // The first page has the list of the tables.
    writeFileSync(file(options), pages.fill(0x5a, 100));
    expect(await failure(options)).toMatch(/lingxi\.db is damaged \(.*\): put back a copy/);
  });

  test('if one of its tables has other columns', async () => {
    const { options, run } = await fresh(sqliteDatabase);
    await run('create table lingxi_migrations (other text)');
    expect(await failure(options)).toMatch(/lingxi\.db has tables that this program cannot use \(.*name.*\)/);
  });

  test('if the file of the lock has other content', async () => {
    const { options } = await fresh(sqliteDatabase);
    const lock = join(options.dataDir, 'lock.db');
    writeFileSync(lock, 'no lock '.repeat(500));
    const owned = await ownUserStore(options);
    expect(!owned.ok && owned.error.message).toContain(`remove ${lock}`);
    rmSync(lock);
    const free = await ownUserStore(options);
    if (free.ok) await free.value.close();
    expect(free.ok).toBe(true);
  });
});

describe('PostgreSQL', () => {
  test('gives one sentence without the password if it cannot be reached, or refuses', async () => {
    const { options } = await fresh(() => postgresDatabase(server));
    const at = (databaseUrl: string): Promise<string> => failure({ ...options, databaseUrl });
    const unreachable = await at('postgres://u:s3cret@127.0.0.1:1/game');
    expect(unreachable).toMatch(/127\.0\.0\.1:1\/game.*ECONNREFUSED.*DATABASE_URL/);
    expect(unreachable).not.toContain('s3cret');
    expect(await at(`postgres://postgres@127.0.0.1:${server.port}/nowhere`)).toMatch(/no such database/);
    expect(await at('mysql://u:s3cret@localhost/game')).toBe(
      'DATABASE_URL is not a postgres:// address: correct it.',
    );
  });

  test('gives one sentence with the real cause if it refuses a connection', async () => {
    const { options, run } = await fresh(() => postgresDatabase(server));
    const at = (databaseUrl: string): Promise<string> => failure({ ...options, databaseUrl });
    const direct = (user: string, rest: string) => `postgres://${user}@127.0.0.1:${server.port}/${rest}`;
    for (const text of [
      'drop role if exists crowded',
      'create role crowded login connection limit 0',
      'drop database if exists closed',
      'create database closed',
      'revoke connect on database closed from public',
      'drop role if exists outsider',
      'create role outsider login',
    ])
      await run(text);
    expect(await at(direct('stranger', 'postgres'))).toMatch(
      /refuses the credentials of DATABASE_URL.*stranger/,
    );
    expect(await at(direct('crowded', 'postgres'))).toMatch(
      /no connection left.*too many connections for role/,
    );
    expect(await at(direct('outsider', 'closed'))).toMatch(/permission denied.*GRANT CONNECT/);
    expect(await at(direct('postgres', 'postgres?sslmode=verify-full'))).toMatch(/TLS.*sslmode/);
    expect(await at(direct('postgres', 'postgres?options=-c%20no.such%3D1%20-c%20nonsense%3D1'))).toMatch(
      /refuses the connection \(.*nonsense.*SQLSTATE 42704\)/,
    );
    expect(await at('postgres://u@no-such-host.invalid/game')).toMatch(/is not found.*DATABASE_URL/);
    // Accepts connections, and sends nothing.
    const silent = createServer();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    expect(
      await failure({ ...options, sqlTimeoutMs: 200, databaseUrl: `postgres://u@127.0.0.1:${port}/game` }),
    ).toMatch(/does not answer \(.*timeout/);
    silent.close();
    for (const text of ['drop database closed', 'drop role outsider', 'drop role crowded']) await run(text);
  });

  test('gives one sentence with the real cause behind PgBouncer, which has one code for all refusals', async () => {
    const { options } = await fresh(() => postgresDatabase(server));
    const at = (databaseUrl: string): Promise<string> => failure({ ...options, databaseUrl });
    const pooler = await startPgBouncer({
      postgresPort: server.port,
      poolMode: 'transaction',
      databases: 'postgres',
      // The check whether the server has started may still hold one of the connections.
      settings: ['max_client_conn = 2'],
    });
    const statements = await startPgBouncer({ postgresPort: server.port, poolMode: 'statement' });
    try {
      expect(await at(pooler.url('nowhere'))).toMatch(/no such database/);
      expect(await at(statements.url('nowhere'))).toMatch(/no such database/);
      expect(await at(pooler.url('postgres', 'stranger'))).toMatch(/refuses the credentials/);
      expect(await at(`${pooler.url('postgres')}?options=-c%20search_path%3Dgame`)).toMatch(
        /refuses the startup parameter options.*ignore_startup_parameters = options/,
      );
      expect(await at(statements.url('postgres'))).toMatch(/pools statements.*pool_mode/);
      const others = [1, 2].map(() => new pg.Client({ connectionString: pooler.url('postgres') }));
      for (const other of others) await other.connect();
      expect(await at(pooler.url('postgres'))).toMatch(/no connection left.*max_client_conn/);
      for (const other of others) await other.end();
    } finally {
      await Promise.all([pooler.stop(), statements.stop()]);
    }
  });

  test('two programs that start at once behind a PgBouncer migrate once', async () => {
    const { options, rows } = await fresh(() => postgresDatabase(server));
    const pooler = await startPgBouncer({ postgresPort: server.port, poolMode: 'transaction' });
    const url = new URL(options.databaseUrl ?? '');
    url.port = String(pooler.port);
    const pooled = { ...options, databaseUrl: url.href };
    const stores = await Promise.all([openStore(pooled), openStore(pooled), openStore(options)]);
    await Promise.all(stores.map((store) => store.close()));
    await pooler.stop();
    expect(await rows('select name from lingxi_migrations')).toHaveLength(1);
  });

  test('Lingxi never creates a users table there, nor an empty NOT NULL column', async () => {
    const { options, run } = await fresh(() => postgresDatabase(server));
    expect(await failure({ ...options, usersTable: 'players' })).toMatch(/players does not exist/);
    await run('alter table users add column email text not null');
    expect(await failure({ ...options, unknownUsers: 'create' })).toMatch(/email.*NOT NULL/);
    await run('alter table users drop column email, alter column id drop default');
    await run('alter table users alter column id add generated always as identity');
    const store = await openStore({ ...options, unknownUsers: 'create' });
    await store.open([opening({ userId: 77, period: T, loginAt: T })]);
    await store.close();
  });

  test('a role with the grants of `lingxi migrate` runs a gateway; without them the start prints them', async () => {
    const { options, run } = await fresh(() => postgresDatabase(server, { table: 'game.users' }));
    await run('drop role if exists small');
    await run('create role small login');
    await runMigrations(options);
    const url = new URL(options.databaseUrl ?? '');
    url.username = 'small';
    const small: UserStoreOptions = { ...options, databaseUrl: url.href, unknownUsers: 'create' };
    const grants = grantsNeeded(small, { role: 'small', schema: 'public' });
    // Each refusal names everything that is missing at that step, until nothing is missing.
    expect(await failure(small)).toContain(grants.join(' '));
    for (const grant of grants.slice(0, 2)) await run(grant);
    expect(await failure(small)).toContain(grants.join(' '));
    await run(grants[2] ?? '');
    expect(await failure(small)).toContain(grants.slice(3).join(' '));
    await run(grants[3] ?? '');
    expect(await failure(small)).toContain(grants.slice(3).join(' '));
    await run(grants[4] ?? '');
    const store = await openStore(small);
    await store.open([opening({ userId: 7, period: T, loginAt: T })]);
    await store.settle([duty({ userId: 7, period: T, loginAt: T, logoutAt: T + 5 })], T + 6);
    await store.noteNodeAlive('a', T);
    await store.prunePeriods(T + 10, 10);
    expect(await store.withReconcilerLock(() => Promise.resolve())).toBe(true);
    await store.close();
    for (const statement of ['drop owned by small', 'drop role small']) await run(statement);
  });
});

describe('PostgreSQL that fails and returns', () => {
  let own: PostgresServer;
  beforeAll(async () => {
    own = await startPostgres();
  });
  afterAll(() => own.stop());

  test('[ST7] frozen, killed and started again: calls fail in time with a temporary error, then work again', async () => {
    const database = await postgresDatabase(own);
    const store = await openStore({ ...database.options, sqlTimeoutMs: 1_500, sqlPool: 2 });
    const settle = (): Promise<void> => store.settle([duty({ userId: 7, period: T, loginAt: T })], T);
    await settle();
    await own.freeze();
    const began = performance.now();
    const frozen: unknown[] = await Promise.all(
      [1, 2, 3].map(() => settle().catch((error: unknown) => error)),
    );
    expect(frozen.every((error) => error instanceof Error && !isPermanentError(error))).toBe(true);
    expect(performance.now() - began).toBeLessThan(10_000);
    own.thaw();
    await settle();
    await own.kill('SIGINT');
    const dead: unknown = await settle().catch((error: unknown) => error);
    expect(dead instanceof Error && !isPermanentError(dead)).toBe(true);
    await own.restart();
    await settle();
    await store.ping();
    await store.close();
    await database.remove();
  });
});
