import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { silentLog } from '../../../src/logging/log.ts';
import type { Opening } from '../../../src/protocol/periods.ts';
import { GroupCommit, groupCommitPace, SettlementTimeout } from '../../../src/settlement/group-commit.ts';
import { LoginFailures } from '../../../src/settlement/login-failures.ts';
import { type UserStore, UsersLocked } from '../../../src/settlement/user-store.ts';
import { opening, openStore, sqliteDatabase } from '../../support/user-stores.ts';

type LoginStore = Pick<UserStore, 'open' | 'lookup'>;

function build(store: LoginStore, clock = new FakeClock()): { clock: FakeClock; commit: GroupCommit } {
  return {
    clock,
    commit: new GroupCommit({
      store,
      clock,
      failures: new LoginFailures(silentLog, clock),
      timeoutMs: 2000,
      pace: groupCommitPace('postgres://localhost/game'),
    }),
  };
}

describe('GroupCommit', () => {
  test('[ST4] simultaneous logins share a transaction; a later one goes with the next', async () => {
    const batches: number[] = [];
    let finish: () => void = () => undefined;
    const { clock, commit } = build({
      open(openings) {
        batches.push(openings.length);
        return new Promise((resolve) => {
          finish = resolve;
        });
      },
      lookup: (ids) =>
        Promise.resolve(ids.map((userId) => ({ userId, exists: true, canExist: true, newest: undefined }))),
    });
    const first = Promise.all([1, 2, 3].map((userId) => commit.open(opening({ userId }))));
    await clock.advanceAsync(10);
    const second = Promise.all([4, 5].map((userId) => commit.open(opening({ userId }))));
    await clock.advanceAsync(10);
    expect(batches).toEqual([3]);
    finish();
    await first;
    await clock.advanceAsync(10);
    expect(batches).toEqual([3, 2]);
    finish();
    await second;
  });

  test('[ST9] a login past its deadline is refused, and not written later if it had not begun', async () => {
    const written: Opening[] = [];
    let finish: () => void = () => undefined;
    const { clock, commit } = build({
      open(openings) {
        written.push(...openings);
        return new Promise((resolve) => {
          finish = resolve;
        });
      },
      lookup: () => Promise.reject(new Error('connection lost')),
    });
    const begun = commit.open(opening({ userId: 1 })).catch((error: unknown) => error);
    await clock.advanceAsync(10);
    const waiting = commit.open(opening({ userId: 2 })).catch((error: unknown) => error);
    await clock.advanceAsync(2100);
    expect(await begun).toBeInstanceOf(SettlementTimeout);
    expect(await waiting).toBeInstanceOf(SettlementTimeout);
    finish();
    await clock.advanceAsync(100);
    expect(written.map(({ userId }) => userId)).toEqual([1]);
    const lookup = commit.lookup(1).catch((error: unknown) => error);
    await clock.advanceAsync(10);
    expect(await lookup).toMatchObject({ message: 'connection lost' });
  });

  test('[ST4] a login that the database rejects permanently does not affect others of its batch', async () => {
    const database = sqliteDatabase();
    const store = await openStore({ ...database.options, unknownUsers: 'create' });
    await database.run(
      `create trigger poison before insert on users when new.id = 13 begin select raise(abort, 'poison'); end`,
    );
    const { clock, commit } = build(store);
    const results = Array.from({ length: 20 }, (_, n) =>
      commit.open(opening({ userId: n + 1 })).then(
        () => 'open',
        (error: unknown) => (error as Error).message,
      ),
    );
    await clock.advanceAsync(300);
    const outcome = await Promise.all(results);
    expect(outcome.filter((text) => text === 'open')).toHaveLength(19);
    expect(outcome[12]).toBe('poison');
    const facts = commit.lookup(5);
    await clock.advanceAsync(50);
    expect(await facts).toMatchObject({ userId: 5, exists: true, newest: { period: 1_000_000 } });
    await store.close();
    await database.remove();
  });

  /** SQL in which other transactions hold the rows of `locked`. */
  function lockedSql() {
    const locked = new Set<number>();
    const tries: (readonly number[])[] = [];
    const { clock, commit } = build({
      open(openings) {
        tries.push(openings.map(({ userId }) => userId));
        const held = new Set(openings.map(({ userId }) => userId).filter((userId) => locked.has(userId)));
        return held.size === 0
          ? Promise.resolve()
          : Promise.reject(new UsersLocked(held, new Error('55P03')));
      },
      lookup: () => Promise.resolve([]),
    });
    return { clock, commit, locked, tries };
  }

  test('[ST9] a locked row delays no other login, and its own login is retried separately until its deadline', async () => {
    const { clock, commit, locked, tries } = lockedSql();
    locked.add(2);
    const others = Promise.all([1, 3].map((userId) => commit.open(opening({ userId }))));
    const refused = commit.open(opening({ userId: 2 })).catch((error: unknown) => error);
    await clock.advanceAsync(10);
    await others;
    expect(tries.slice(0, 2)).toEqual([
      [1, 3, 2],
      [1, 3],
    ]);
    const later = commit.open(opening({ userId: 4 }));
    await clock.advanceAsync(50);
    await later;
    expect(tries).toContainEqual([4]);
    await clock.advanceAsync(2_100, 10);
    expect(await refused).toBeInstanceOf(SettlementTimeout);
    const count = tries.length;
    expect(count).toBeLessThan(60);
    await clock.advanceAsync(500, 10);
    expect(tries).toHaveLength(count);
  });

  test('[ST9] a login continues once its row is free again, even if rows are locked one after the other', async () => {
    const { clock, commit, locked } = lockedSql();
    for (const userId of [1, 2, 3]) locked.add(userId);
    const written: number[] = [];
    for (const userId of [1, 2, 3]) void commit.open(opening({ userId })).then(() => written.push(userId));
    await clock.advanceAsync(200, 10);
    expect(written).toEqual([]);
    locked.delete(2);
    await clock.advanceAsync(100, 10);
    expect(written).toEqual([2]);
    locked.clear();
    await clock.advanceAsync(100, 10);
    expect(written).toEqual([2, 1, 3]);
  });
});
