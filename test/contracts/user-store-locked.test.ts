import { join } from 'node:path';
import Database from 'libsql';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorCode, isPermanentError } from '../../src/settlement/sql-errors.ts';
import { UsersLocked } from '../../src/settlement/user-store.ts';
import { eventually } from '../support/ports.ts';
import { type PostgresServer, startPostgres } from '../support/services.ts';
import { duty, opening, openStore, postgresDatabase, sqliteDatabase } from '../support/user-stores.ts';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.stop());

describe.each([
  { idType: 'integer', timeType: 'timestamptz' },
  { idType: 'bigint', timeType: 'bigint' },
] as const)('PostgreSQL with ids of $idType', (shape) => {
  it('[ST9] names the users whose rows are locked, and writes nothing then', async () => {
    const database = await postgresDatabase(server, shape);
    const store = await openStore(database.options);
    const openings = [1, 2, 3, 4, 5].map((userId) => opening({ userId }));
    try {
      // The fifth user has no row.
      for (const userId of [1, 2, 3, 4]) await database.putUser(userId, null);
      const rival = new pg.Client({ connectionString: database.options.databaseUrl });
      await rival.connect();
      await rival.query('begin');
      await rival.query('select id from users where id in (2, 4) for update');
      const refused = await store.open(openings).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(UsersLocked);
      expect([...(refused as UsersLocked).userIds].sort((a, b) => a - b)).toEqual([2, 4]);
      expect(await database.rows('select * from lingxi_periods')).toEqual([]);
      await store.open(openings.filter(({ userId }) => ![2, 4].includes(userId)));
      await rival.end();
      await store.open(openings);
      expect(await database.rows('select * from lingxi_periods')).toHaveLength(5);
      expect(await database.userTime(2)).toBe(1_000_000);
    } finally {
      await store.close();
      await database.remove();
    }
  });
});

describe('PostgreSQL that ends a deadlock', () => {
  it('[scenario 37] [ST7] refuses the settlement for now, and accepts it the next time', async () => {
    const database = await postgresDatabase(server);
    // PostgreSQL looks for a deadlock once, this long after a lock had to wait. By then the rival must wait too.
    await database.run(`do $$ begin
      execute format('alter database %I set deadlock_timeout = ''3s''', current_database());
    end $$`);
    const store = await openStore({ ...database.options, sqlTimeoutMs: 15_000 });
    const rival = new pg.Client({ connectionString: database.options.databaseUrl });
    const lockPeriod = (userId: number) =>
      rival.query('select 1 from lingxi_periods where user_id = $1 for update', [userId]);
    try {
      await store.open([opening({ userId: 1 }), opening({ userId: 2 })]);
      const duties = [duty({ userId: 1 }), duty({ userId: 2 })];
      await rival.connect();
      // The rival transaction has a longer deadlock timeout.
      await rival.query("begin; set local deadlock_timeout = '60s'");
      await lockPeriod(2);
      const refused = store.settle(duties, 2_000_000).catch((error: unknown) => error);
      await eventually(async () =>
        expect(
          await database.rows(
            "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%lingxi_periods%'",
          ),
        ).not.toEqual([]),
      );
      await lockPeriod(1);
      const error = await refused;
      expect([errorCode(error), isPermanentError(error)]).toEqual(['40P01', false]);
      await rival.query('commit');
      await store.settle(duties, 2_000_000);
      expect(await database.rows('select 1 from lingxi_periods where settled_at is not null')).toHaveLength(
        2,
      );
    } finally {
      await rival.end();
      await store.close();
      await database.remove();
    }
  });
});

describe.each(['SQLite', 'PostgreSQL'])('an abandoned opening, %s', (name) => {
  it('[ST4] is dropped, unless it is closed or another node has it', async () => {
    const database = name === 'SQLite' ? sqliteDatabase() : await postgresDatabase(server);
    const store = await openStore({ ...database.options, unknownUsers: 'create' });
    try {
      const [own, closed, other, next] = [1, 2, 3, 1].map((userId, index) =>
        opening({ userId, period: 10 + index, node: userId === 3 ? 'node-b#1' : 'node-a#1' }),
      );
      const openings = [own, closed, other, next].filter((each) => each !== undefined);
      await store.open(openings);
      await store.settle([duty({ userId: 2, period: 11 })], 2_000_000);
      await store.dropOpenings(
        openings.filter(({ period }) => period !== 13),
        'node-a#1',
      );
      await store.dropOpenings([], 'node-a#1');
      const left = await database.rows('select period from lingxi_periods order by period');
      expect(left.map(({ period }) => Number(period))).toEqual([11, 12, 13]);
    } finally {
      await store.close();
      await database.remove();
    }
  });
});

describe('the embedded user store', () => {
  it('[ST7] writes again after another program had locked the file, whatever failed in that time', async () => {
    const files = sqliteDatabase();
    const store = await openStore({ ...files.options, unknownUsers: 'create', sqlTimeoutMs: 50 });
    const period = { userId: 1, period: 1_000 };
    const { dataDir } = files.options;
    try {
      await store.open([opening(period)]);
      await store.noteNodeAlive('a', 1);
      const other = new Database(join(dataDir, 'lingxi.db'));
      other.exec('begin immediate');
      for (const refused of [
        store.noteNodeAlive('a', 2),
        store.settle([duty(period)], 2_000),
        store.open([opening({ userId: 2 })]),
      ])
        await expect(refused).rejects.toThrow('locked');
      other.exec('rollback');
      other.close();
      expect(await store.settle([duty(period)], 2_000)).toBeUndefined();
      await store.open([opening({ userId: 2 })]);
      expect(await files.rows('select settled_at from lingxi_periods where user_id = 1')).toEqual([
        { settled_at: 2_000 },
      ]);
    } finally {
      await store.close();
      await files.remove();
    }
  });
});
