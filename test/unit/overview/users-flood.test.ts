import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import type { UsersQuery } from '../../../src/overview/api.ts';
import { Peers } from '../../../src/overview/peers.ts';
import { RemoteUsers } from '../../../src/overview/remote-users.ts';
import { Users } from '../../../src/overview/users.ts';
import type { HeldUser } from '../../../src/presence/api.ts';

const QUERY = { search: '', sort: 'name', order: 'asc', offset: 0, limit: 200 } as const;
/** Longest slice in ms: 4, plus the work before the next reading of the clock. */
const SLICE_MS = 6;

/** One node with `count` users. Reading one of them takes a tenth of a millisecond. */
function build(count: number) {
  const clock = new FakeClock();
  const held = new Map<number, HeldUser>();
  const add = (userId: number): void => {
    const times = { loginTime: userId, lastHeartbeat: 0 };
    held.set(userId, {
      userId,
      username: `User ${userId}`,
      ip: '',
      state: 'active',
      connections: 1,
      ...times,
    });
  };
  for (let userId = 1; userId <= count; userId += 1) add(userId);
  const state = { reads: 0 };
  const own = {
    *all(): Iterable<HeldUser> {
      for (const user of held.values()) {
        state.reads += 1;
        clock.stall(0.1);
        yield user;
      }
    },
    count: () => held.size,
    one: (userId: number) => held.get(userId),
  };
  const none = (): void => undefined;
  const log = { debug: none, info: none, warn: none, error: none };
  const peers = new Peers({ node: 'a', list: () => Promise.resolve([]), calls: undefined, clock });
  const remote = new RemoteUsers({ peers, clock, log });
  const users = new Users({ node: 'a', own, remote, clock, orphans: () => 0, defaultName: String });
  const ask = (query: Partial<UsersQuery> = {}) => users.page({ ...QUERY, ...query });
  /** Runs the timers until the answers are complete. Returns the longest time of one timer. */
  const longestTurn = async (answers: Promise<unknown>): Promise<number> => {
    let isDone = false;
    void answers.then(() => {
      isDone = true;
    });
    let longest = 0;
    while (!isDone) {
      const before = clock.monotonic();
      await clock.advanceAsync(0.01, 0.01);
      longest = Math.max(longest, clock.monotonic() - before);
    }
    return longest;
  };
  return { clock, held, add, state, ask, longestTurn };
}

describe('many queries for the table of users', () => {
  it('one large selection runs in slices', async () => {
    const { ask, longestTurn } = build(2_000);
    const answer = ask({ offset: 1_900 });
    expect(await longestTurn(answer)).toBeLessThan(SLICE_MS);
    expect((await answer)?.users).toHaveLength(100);
  });

  it('small selections one after another share the slices', async () => {
    const { ask, longestTurn } = build(30);
    const answers = Promise.all(Array.from({ length: 30 }, (_, offset) => ask({ offset })));
    expect(await longestTurn(answers)).toBeLessThan(SLICE_MS);
    expect((await answers).map((page) => page?.users.length)).toEqual(
      Array.from({ length: 30 }, (_, offset) => 30 - offset),
    );
  });

  it('equal queries share one selection, for 250 ms', async () => {
    const { clock, state, ask } = build(10);
    const [one, other] = await Promise.all([ask(), ask()]);
    expect(other).toBe(one);
    clock.advance(248);
    expect(await ask()).toBe(one);
    expect(state.reads).toBe(10);
    clock.advance(2);
    expect(await ask()).not.toBe(one);
    expect(state.reads).toBe(20);
  });

  it('different queries do not share an answer', async () => {
    const { ask, longestTurn } = build(10);
    const differences = [
      {},
      { search: '1' },
      { sort: 'user' },
      { order: 'desc' },
      { offset: 1 },
      { limit: 2 },
    ];
    const pages = Promise.all(differences.map((each) => ask(each as Partial<UsersQuery>)));
    await longestTurn(pages);
    expect(new Set(await pages).size).toBe(differences.length);
  });

  it('refuses the 33rd different query, and accepts it once the others have their answers', async () => {
    const { ask, longestTurn } = build(200);
    const answers = Promise.all(Array.from({ length: 32 }, (_, offset) => ask({ offset })));
    expect(await ask({ offset: 32 })).toBeUndefined();
    await longestTurn(answers);
    expect((await answers).every((page) => page !== undefined)).toBe(true);
    const late = ask({ offset: 32 });
    await longestTurn(late);
    expect((await late)?.users).toHaveLength(168);
  });

  it('an offset beyond all users gets an empty window without visiting them', async () => {
    const { state, ask } = build(10);
    expect(await ask({ offset: 10 })).toMatchObject({ total: 10, matched: 10, users: [] });
    expect(state.reads).toBe(0);
  });

  it('a user who leaves and comes back during a selection is in it once', async () => {
    const { clock, held, add, ask, longestTurn } = build(1_000);
    const answer = ask({ sort: 'user' });
    await clock.advanceAsync(1, 1);
    held.delete(1);
    add(1);
    await longestTurn(answer);
    const page = await answer;
    expect(page?.total).toBe(1_000);
    expect(page?.users.filter(({ userId }) => userId === 1)).toHaveLength(1);
  });
});
