import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { isPermanentError } from '../../src/settlement/sql-errors.ts';
import { type UserStore, UsersLocked } from '../../src/settlement/user-store.ts';
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import { type PostgresServer, startPostgres } from '../support/services.ts';
import {
  duty,
  opening,
  openStore,
  poison,
  type TestDatabase,
  userStoreSubjects,
} from '../support/user-stores.ts';

let server: PostgresServer;
let pooler: PgBouncer;
beforeAll(async () => {
  server = await startPostgres();
  pooler = await startPgBouncer({ postgresPort: server.port, poolMode: 'transaction' });
});
afterAll(async () => {
  await pooler?.stop();
  await server?.stop();
});

const subjects = userStoreSubjects({ server: () => server, pooler: () => pooler });

const T = 1_700_000_000_123;
const BEYOND_INT4 = 5_000_000_000;
const YEAR_1 = Date.UTC(2001, 0, 1) - 2000 * 365.2425 * 86_400_000;

describe.concurrent.each(subjects)('user store on $name', ({ make }) => {
  let database: TestDatabase;
  let store: UserStore;
  const reopen = async (changes: Partial<TestDatabase['options']>): Promise<void> => {
    await store.close();
    store = await openStore({ ...database.options, ...changes });
  };

  beforeEach(async () => {
    database = await make();
    store = await openStore(database.options);
  });
  afterEach(async () => {
    await store.close();
    await database.remove();
  });

  test.sequential('[ST4] an opened period is open and the newest of its user', async () => {
    await database.putUser(7, null);
    await store.open([opening({ userId: 7, period: T, loginAt: T })]);
    const row = {
      userId: 7,
      period: T,
      loginAt: T,
      lastSeenAt: null,
      logoutAt: null,
      reason: null,
      settledAt: null,
      node: 'node-a#1',
    };
    expect(await store.openPeriods({ limit: 10 })).toEqual([row]);
    expect(await store.newestPeriods([7, 8])).toEqual(new Map([[7, row]]));
    expect(await store.lookup([8, 7])).toEqual([
      { userId: 8, exists: false, canExist: true, newest: undefined },
      { userId: 7, exists: true, canExist: true, newest: row },
    ]);
  });

  test.sequential('[ST4] opening twice, or after the period was settled, changes nothing', async () => {
    await database.putUser(7, null);
    await store.settle([duty({ userId: 7, period: T, loginAt: T, logoutAt: T + 5 })], T + 6);
    await store.open([opening({ userId: 7, period: T, loginAt: T })]);
    await store.open([
      opening({ userId: 7, period: T, loginAt: T }),
      opening({ userId: 7, period: T, loginAt: T }),
    ]);
    expect(await store.openPeriods({ limit: 10 })).toEqual([]);
    expect(await database.userTime(7)).toBe(T + 5);
  });

  test.sequential("[ST9] opening moves the user's time to the latest login, never back, and treats NULL and year 1 as never", async () => {
    const before = [null, YEAR_1, T + 50, T - 5];
    for (const [index, time] of before.entries()) await database.putUser(index + 1, time);
    const openings = [1, 2, 3].map((userId) => opening({ userId, period: T, loginAt: T }));
    const late = opening({ userId: 4, period: T, loginAt: T + 9 });
    await store.open([...openings, late, opening({ userId: 4, period: T + 1, loginAt: T + 1 })]);
    expect(await Promise.all([1, 2, 3, 4].map((id) => database.userTime(id)))).toEqual([T, T, T + 50, T + 9]);
  });

  test.sequential('[ST9] without LINGXI_LOGIN_RESETS_TIME opening keeps the time', async () => {
    await reopen({ loginResetsTime: false });
    await database.putUser(1, T - 5);
    await store.open([opening({ userId: 1, period: T, loginAt: T })]);
    expect(await database.userTime(1)).toBe(T - 5);
    expect(await store.openPeriods({ limit: 10 })).toHaveLength(1);
  });

  test.sequential('[ST2] settling closes the row and moves the time forward; a repetition, late or at once, changes nothing', async () => {
    await database.putUser(7, null);
    await database.putUser(8, YEAR_1);
    await store.open([opening({ userId: 7, period: T, loginAt: T })]);
    const duties = [7, 8].map((userId) =>
      duty({ userId, period: T, loginAt: T, logoutAt: T + 9, lastSeenAt: T + 3 }),
    );
    await store.settle(duties, T + 10);
    await Promise.all([store.settle(duties, T + 20), store.settle([...duties].reverse(), T + 30)]);
    const closed = {
      period: T,
      loginAt: T,
      lastSeenAt: T + 3,
      logoutAt: T + 9,
      reason: 'timeout',
      settledAt: T + 10,
      node: 'node-a#1',
    };
    expect([...(await store.newestPeriods([7, 8])).values()]).toEqual([
      { userId: 7, ...closed },
      { userId: 8, ...closed },
    ]);
    expect([await database.userTime(7), await database.userTime(8)]).toEqual([T + 9, T + 9]);
    expect(await store.openPeriods({ limit: 10 })).toEqual([]);
  });

  test.sequential('[ST2] of two logout times of one period the later one counts, in any order', async () => {
    await database.putUser(7, null);
    await database.putUser(8, null);
    const early = { period: T, loginAt: T, logoutAt: T + 5, lastSeenAt: T + 5, reason: 'logout' } as const;
    const late = { period: T, loginAt: T, logoutAt: T + 9, lastSeenAt: T + 1, reason: 'node-lost' } as const;
    await store.settle([duty({ userId: 7, ...early })], T + 10);
    await store.settle([duty({ userId: 7, ...late })], T + 11);
    await store.settle([duty({ userId: 8, ...late }), duty({ userId: 8, ...early })], T + 10);
    await store.settle([duty({ userId: 8, ...early })], T + 11);
    for (const id of [7, 8]) {
      expect((await store.newestPeriods([id])).get(id)).toMatchObject({
        logoutAt: T + 9,
        reason: 'node-lost',
        lastSeenAt: T + 1,
      });
      expect(await database.userTime(id)).toBe(T + 9);
    }
  });

  test.sequential('[ST2] periods settled out of order never move time back', async () => {
    await database.putUser(7, null);
    await store.settle([duty({ userId: 7, period: T + 100, loginAt: T + 100, logoutAt: T + 200 })], T + 201);
    await store.settle([duty({ userId: 7, period: T, loginAt: T, logoutAt: T + 50 })], T + 202);
    expect(await database.userTime(7)).toBe(T + 200);
    expect((await store.newestPeriods([7])).get(7)?.period).toBe(T + 100);
    const both = [
      duty({ userId: 7, period: T + 300, loginAt: T + 300, logoutAt: T + 390 }),
      duty({ userId: 7, period: T + 400, loginAt: T + 400, logoutAt: T + 500 }),
    ];
    await store.settle(both, T + 501);
    expect(await database.userTime(7)).toBe(T + 500);
  });

  test.sequential('[ST4] `reconciled` closes an open row only, and never later than the next login', async () => {
    await database.putUser(7, null);
    await database.putUser(8, null);
    const reconciled = { period: T, loginAt: T, logoutAt: T + 90, reason: 'reconciled' } as const;
    await store.settle([duty({ userId: 7, period: T, loginAt: T, logoutAt: T + 5 })], T + 10);
    await store.settle([duty({ userId: 7, ...reconciled })], T + 11);
    expect((await store.newestPeriods([7])).get(7)).toMatchObject({ logoutAt: T + 5, reason: 'timeout' });
    expect(await database.userTime(7)).toBe(T + 5);

    await reopen({ loginResetsTime: false });
    await store.open([opening({ userId: 8, period: T, loginAt: T })]);
    await store.open([opening({ userId: 8, period: T + 40, loginAt: T + 40 })]);
    await store.settle([duty({ userId: 8, ...reconciled })], T + 95);
    expect(await database.userTime(8)).toBe(T + 40);
    await store.settle(
      [duty({ userId: 8, period: T, loginAt: T, logoutAt: T + 40, reason: 'logout' })],
      T + 99,
    );
    const periods = await database.rows(
      `select reason from lingxi_periods where user_id = 8 and period = ${T}`,
    );
    expect(periods).toEqual([{ reason: 'logout' }]);
  });

  test.sequential("[ST2] settling closes the period even if the user's row is gone", async () => {
    await store.settle([duty({ userId: 7, period: T, loginAt: T, logoutAt: T + 5 })], T + 10);
    expect((await store.newestPeriods([7])).get(7)?.settledAt).toBe(T + 10);
    expect(await database.userTime(7)).toBeUndefined();
  });

  test.sequential('[ST2] ids beyond int4 are unknown and do not affect others in their batch', async () => {
    await database.putUser(7, null);
    const max = Number.MAX_SAFE_INTEGER;
    const facts = await store.lookup([BEYOND_INT4, 7, max]);
    expect(facts.map(({ userId, exists }) => [userId, exists])).toEqual([
      [BEYOND_INT4, false],
      [7, true],
      [max, false],
    ]);
    await store.open([BEYOND_INT4, 7].map((userId) => opening({ userId, period: T, loginAt: T })));
    await store.settle(
      [max, BEYOND_INT4, 7].map((userId) => duty({ userId, period: T, loginAt: T, logoutAt: T + 5 })),
      T + 6,
    );
    expect(await database.userTime(7)).toBe(T + 5);
    expect((await store.newestPeriods([max])).get(max)?.logoutAt).toBe(T + 5);
  });

  test.sequential('unknown users: `create` makes the row at login only, `reject` and `ignore` never do', async () => {
    for (const unknownUsers of ['reject', 'ignore'] as const) {
      await reopen({ unknownUsers });
      await store.open([opening({ userId: 7, period: T, loginAt: T })]);
      expect(await database.userTime(7)).toBeUndefined();
    }
    await reopen({ unknownUsers: 'create' });
    await store.settle([duty({ userId: 7, period: T, loginAt: T, logoutAt: T + 5 })], T + 6);
    expect(await database.userTime(7)).toBeUndefined();
    await database.putUser(9, T + 50);
    await store.open([7, 8, 8, 9].map((userId) => opening({ userId, period: T + 10, loginAt: T + 10 })));
    expect(await Promise.all([7, 8, 9].map((id) => database.userTime(id)))).toEqual([T + 10, T + 10, T + 50]);
    await reopen({ unknownUsers: 'create', loginResetsTime: false });
    await store.open([opening({ userId: 11, period: T, loginAt: T })]);
    expect(await database.userTime(11)).toBeNull();
  });

  test.sequential('LINGXI_USERS_TABLE=none: every user exists, and only periods are written', async () => {
    await reopen({ usersTable: 'none', unknownUsers: 'create' });
    expect((await store.lookup([7]))[0]?.exists).toBe(true);
    await store.open([opening({ userId: 7, period: T, loginAt: T })]);
    await store.settle([duty({ userId: 7, period: T, loginAt: T, logoutAt: T + 5 })], T + 6);
    expect((await store.newestPeriods([7])).get(7)?.logoutAt).toBe(T + 5);
    expect(await database.userTime(7)).toBeUndefined();
  });

  test.sequential('[ST4] open rows come oldest first in pages', async () => {
    const rows = Array.from({ length: 25 }, (_, n) =>
      opening({ userId: 100 - n, period: T + (n >> 1), loginAt: T }),
    );
    await store.open(rows);
    const seen: string[] = [];
    let after: { userId: number; period: number } | undefined;
    for (;;) {
      const page = await store.openPeriods({ limit: 10, ...(after === undefined ? {} : { after }) });
      seen.push(...page.map(({ userId, period }) => `${period}:${userId}`));
      after = page.at(-1);
      if (page.length < 10) break;
    }
    const expected = [...rows].sort((a, b) => a.period - b.period || a.userId - b.userId);
    expect(seen).toEqual(expected.map(({ userId, period }) => `${period}:${userId}`));
  });

  test.sequential('[ST5] the newest sign of life of a node counts', async () => {
    await store.noteNodeAlive('a#1', T);
    await store.noteNodeAlive('a#1', T + 5000);
    await store.noteNodeAlive('a#1', T + 100);
    expect(await store.nodeLives(['a#1', 'b#1', 'a#1'])).toEqual(new Map([['a#1', T + 5000]]));
  });

  test.sequential('[ST4] one writer reconciles at a time', async () => {
    let inner: boolean | undefined;
    const outer = await store.withReconcilerLock(async () => {
      inner = await store.withReconcilerLock(() => Promise.reject(new Error('must not run')));
    });
    expect([outer, inner]).toEqual([true, false]);
    if (database.options.databaseUrl !== undefined) {
      const other = await openStore(database.options);
      const seen = await store.withReconcilerLock(async () => {
        inner = await other.withReconcilerLock(() => Promise.reject(new Error('must not run')));
      });
      await other.close();
      expect([seen, inner]).toEqual([true, false]);
    }
    await expect(store.withReconcilerLock(() => Promise.reject(new Error('boom')))).rejects.toThrow('boom');
    expect(await store.withReconcilerLock(() => Promise.resolve())).toBe(true);
  });

  test.sequential('retention deletes only closed periods, a limited number, and unneeded rows of nodes', async () => {
    await store.noteNodeAlive('gone#1', T);
    await store.noteNodeAlive('node-a#1', T);
    await store.open([opening({ userId: 1, period: T, loginAt: T })]);
    for (const n of [2, 3, 4]) {
      await store.settle([duty({ userId: n, period: T, loginAt: T, logoutAt: T + n })], T + n);
    }
    expect(await store.prunePeriods(T + 4, 1)).toBe(1);
    expect(await store.prunePeriods(T + 4, 10)).toBe(1);
    expect(await store.prunePeriods(T + 4, 10)).toBe(0);
    expect([...(await store.newestPeriods([1, 2, 3, 4])).keys()]).toEqual([1, 4]);
    expect([...(await store.nodeLives(['gone#1', 'node-a#1'])).keys()]).toEqual(['node-a#1']);
  });

  test.sequential('empty batches cause no SQL', async () => {
    await store.open([]);
    await store.settle([], T);
    expect(await store.lookup([])).toEqual([]);
    expect(await store.newestPeriods([])).toEqual(new Map());
    expect(await store.nodeLives([])).toEqual(new Map());
    await store.ping();
  });

  test.sequential('[ST7] a row that the database refuses permanently fails the whole batch with a permanent error', async () => {
    await database.putUser(7, null);
    await database.putUser(13, null);
    await poison(database);
    const duties = [7, 13].map((userId) => duty({ userId, period: T, loginAt: T, logoutAt: T + 5 }));
    const error: unknown = await store.settle(duties, T + 6).catch((failure: unknown) => failure);
    expect(isPermanentError(error)).toBe(true);
    expect(await database.userTime(7)).toBeNull();
    expect(await store.newestPeriods([7, 13])).toEqual(new Map());
    await store.settle(duties.slice(0, 1), T + 6);
    expect(await database.userTime(7)).toBe(T + 5);
  });

  test.sequential('two writers on the same users at once do not deadlock', async () => {
    const ids = Array.from({ length: 60 }, (_, n) => n + 1);
    for (const id of ids) await database.putUser(id, null);
    const openings = ids.map((userId) => opening({ userId, period: T + 1, loginAt: T + 1 }));
    const duties = ids.map((userId) => duty({ userId, period: T, loginAt: T, logoutAt: T + 1 }));
    // No transaction waits for a row: each one finds out which rows the others have locked.
    const unlessLocked = (written: Promise<void>): Promise<void> =>
      written.catch((error: unknown) => {
        if (!(error instanceof UsersLocked)) throw error;
      });
    for (let round = 0; round < 5; round += 1) {
      await Promise.all([
        unlessLocked(store.open(openings)),
        unlessLocked(store.settle(duties, T + 2)),
        unlessLocked(store.settle([...duties].reverse(), T + 2)),
        unlessLocked(store.open([...openings].reverse())),
      ]);
    }
    await store.open(openings);
    expect(await database.userTime(60)).toBe(T + 1);
  });
});

describe.concurrent.each(subjects)('periods that move between nodes: user store on $name', ({ make }) => {
  test.sequential('[PR11] a period counts as closed by its own row, not by a newer one', async () => {
    const database = await make();
    const store = await openStore(database.options);
    const both = [7, 8].map((userId) => opening({ userId, period: T, loginAt: T }));
    await store.open([...both, opening({ userId: 7, period: T + 50, loginAt: T + 50 })]);
    await store.settle([duty({ userId: 8, period: T, loginAt: T, logoutAt: T + 5 })], T + 10);
    const asked = [
      { userId: 8, period: T },
      { userId: 7, period: T },
      { userId: 9, period: T },
      { userId: 7, period: T + 50 },
    ];
    expect(await store.areSettled(asked)).toEqual([true, false, false, false]);
    expect(await store.areSettled([])).toEqual([]);
    await store.close();
    await database.remove();
  });

  test.sequential('[ST5] the node that now has a period decides its last sign of life; a closed period does not change', async () => {
    const database = await make();
    const store = await openStore(database.options);
    await store.open([
      opening({ userId: 1, period: T, loginAt: T }),
      opening({ userId: 2, period: T, loginAt: T }),
    ]);
    await store.settle([duty({ userId: 2, period: T, loginAt: T, logoutAt: T + 10 })], T + 20);
    const before = (await store.newestPeriods([2])).get(2)?.node;
    await store.movePeriods(
      [1, 2, 3].map((userId) => ({ userId, period: T })),
      'node-b#7',
    );
    const after = await store.newestPeriods([1, 2, 3]);
    expect([after.get(1)?.node, after.get(2)?.node, after.has(3)]).toEqual(['node-b#7', before, false]);
    await store.close();
    await database.remove();
  });
});
