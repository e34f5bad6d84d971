import { describe, expect, it } from 'vitest';
import type { NodeInfo } from '../../../src/cluster/nodes.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { err, ok, type Result } from '../../../src/lib/result.ts';
import { Peers } from '../../../src/overview/peers.ts';
import { RemoteUsers } from '../../../src/overview/remote-users.ts';
import { type OwnUsers, Users } from '../../../src/overview/users.ts';
import type { HeldUser } from '../../../src/presence/api.ts';

const QUERY = { search: '', sort: 'user', order: 'asc', offset: 0, limit: 200 } as const;

class Holds implements OwnUsers {
  readonly #users = new Map<number, HeldUser>();

  set(userId: number, fields: Partial<HeldUser> = {}): void {
    const base = { username: `user ${userId}`, ip: '', loginTime: userId, lastHeartbeat: 0, connections: 1 };
    this.#users.set(userId, { userId, state: 'active', ...base, ...fields });
  }

  count(): number {
    return this.#users.size;
  }

  delete(userId: number): void {
    this.#users.delete(userId);
  }

  all(): Iterable<HeldUser> {
    return this.#users.values();
  }

  one(userId: number): HeldUser | undefined {
    return this.#users.get(userId);
  }
}

/** Node a asks. Node b answers as in production, unless the test answers for it. */
function build() {
  const clock = new FakeClock();
  const [here, there] = [new Holds(), new Holds()];
  const state = {
    isFrozen: false,
    isListed: true,
    answer: undefined as unknown,
    asked: [] as string[],
    orphans: 0,
  };
  const none = (): void => undefined;
  const log = { debug: none, info: none, warn: none, error: none };
  const node = (name: string): NodeInfo => ({
    ...{ node: name, name, incarnation: name, state: 'live', leaseAgeMs: 1, users: 0, connections: 0 },
    draining: false,
  });
  const nobody = new Peers({ node: 'b', list: () => Promise.resolve([]), calls: undefined, clock });
  const other = new Users({
    ...{ node: 'b', own: there, clock, orphans: () => 0, defaultName: String },
    remote: new RemoteUsers({ peers: nobody, clock, log }),
  });
  const ask = async (_node: string, call: unknown): Promise<Result<unknown, 'no-answer'>> => {
    const { dashboard, after, limit, userIds } = call as {
      readonly dashboard: string;
      readonly after: number;
      readonly limit: number;
      readonly userIds: readonly number[];
    };
    state.asked.push(dashboard);
    if (state.isFrozen) {
      await new Promise<void>((resolve) => clock.after(300, resolve));
      return err('no-answer');
    }
    const answer =
      state.answer ?? (dashboard === 'users' ? other.pageHere(after, limit) : other.rowsHere(userIds));
    return ok(JSON.parse(JSON.stringify(answer)) as unknown);
  };
  const list = (): Promise<readonly NodeInfo[]> =>
    state.isListed ? Promise.resolve([node('a'), node('b')]) : Promise.reject(new Error('gone'));
  const remote = new RemoteUsers({
    peers: new Peers({ node: 'a', list, calls: { ask }, clock }),
    clock,
    log,
  });
  const users = new Users({
    node: 'a',
    own: here,
    remote,
    clock,
    orphans: () => state.orphans,
    defaultName: (userId) => `Player ${userId}`,
  });
  const page = async (query: Partial<Parameters<Users['page']>[0]> = {}) => {
    const answer = users.page({ ...QUERY, ...query });
    await clock.advanceAsync(0);
    const found = await answer;
    if (found === undefined) throw new Error('overloaded');
    return found;
  };
  return { clock, here, there, state, page };
}

describe('the table of users', () => {
  it('gives a user without a name the default name, also for the search and the order', async () => {
    const { here, there, page } = build();
    here.set(1, { username: '' });
    here.set(2, { username: '' });
    there.set(2, { username: 'Ann' });
    there.set(3, { username: '' });
    const named = async (search: string) =>
      (await page({ search, sort: 'name' })).users.map(({ username }) => username);
    expect(await named('')).toEqual(['Ann', 'Player 1', 'Player 3']);
    expect(await named('player')).toEqual(['Player 1', 'Player 3']);
  });

  it('has the users of all nodes from the first query on, however many they are', async () => {
    const { here, there, page } = build();
    for (let user = 1; user <= 10; user += 1) here.set(user);
    for (let user = 11; user <= 2_600; user += 1) there.set(user);
    const { total, matched, users, gap } = await page({ offset: 2_500 });
    expect([total, matched, gap]).toEqual([2_600, 2_600, undefined]);
    expect(users.map(({ userId }) => userId)).toEqual(
      Array.from({ length: 100 }, (_, index) => 2_501 + index),
    );
    expect(users[0]).toMatchObject({ node: 'b', nodes: ['b'], since: 2_501 });
  });

  it('joins the rows of a user that several nodes hold', async () => {
    const { here, there, page } = build();
    here.set(1, { state: 'lingering', connections: 0, lastHeartbeat: 5, loginTime: 10 });
    there.set(1, { state: 'background', connections: 2, lastHeartbeat: 9, loginTime: 10 });
    const { total, users } = await page();
    expect(total).toBe(1);
    expect(users).toMatchObject([
      { state: 'background', node: 'b', nodes: ['b', 'a'], connections: 2, lastHeartbeat: 9, since: 10 },
    ]);
  });

  it('shows a change in the window within 250 ms, and arrivals and departures on another node with its next page', async () => {
    const { clock, there, page } = build();
    for (let user = 1; user <= 3; user += 1) there.set(user);
    await page();
    there.set(2, { state: 'background', lastHeartbeat: 1_234 });
    there.delete(1);
    await clock.advanceAsync(250);
    expect((await page()).users).toMatchObject([{ userId: 2, state: 'background' }, { userId: 3 }]);
    there.set(4);
    await clock.advanceAsync(500);
    await page();
    expect((await page()).users.map(({ userId }) => userId)).toEqual([2, 3, 4]);
  });

  it('shows the old rows of a silent node, reports that, and does not call it for a second', async () => {
    const { clock, there, state, page } = build();
    there.set(1);
    await page();
    state.isFrozen = true;
    await clock.advanceAsync(500);
    const answers = [page(), page()];
    await clock.advanceAsync(600);
    for (const answer of answers) expect((await answer).users).toMatchObject([{ userId: 1, node: 'b' }]);
    const asked = state.asked.length;
    const { users, gap } = await page({ limit: 199 });
    expect(users).toHaveLength(1);
    expect(gap).toMatchObject({ silent: ['b'], presenceUnavailable: false });
    expect(state.asked).toHaveLength(asked);
  });

  it('without the store it shows the last known rows, and reports that', async () => {
    const { clock, here, there, state, page } = build();
    here.set(1);
    there.set(2);
    await page();
    state.isListed = false;
    await clock.advanceAsync(500);
    const { users, gap } = await page();
    expect(users).toHaveLength(2);
    expect(gap?.presenceUnavailable).toBe(true);
  });

  it('reports how many users of dead nodes it does not show', async () => {
    const { state, page } = build();
    state.orphans = 3;
    expect((await page()).gap?.orphans).toBe(3);
  });

  it('forgets the users of other nodes when nobody has asked for 30 s', async () => {
    const { clock, there, state, page } = build();
    there.set(1);
    await page();
    await clock.advanceAsync(31_000);
    state.isFrozen = true;
    const late = page();
    await clock.advanceAsync(1_500);
    expect((await late).users).toEqual([]);
  });

  const row = [1, 'name', 0, 5, 5, '', 1];
  it.each([
    ['text', 'x'],
    ['no rows', {}],
    ['an invalid row', { rows: [7] }],
    ['a negative id', { rows: [[-1, ...row.slice(1)]] }],
    ['an unknown state', { rows: [[1, 'name', 9, 5, 5, '', 1]] }],
    ['a long name', { rows: [[1, 'x'.repeat(10_000), 0, 5, 5, '', 1]] }],
    ['too many rows', { rows: Array.from({ length: 501 }, () => row) }],
    ['an invalid time', { rows: [[1, 'name', 0, null, 5, '', 1]] }],
  ])('takes %s from another node for no answer', async (_name, answer) => {
    const { here, state, page } = build();
    here.set(1);
    state.answer = answer;
    const { users, gap } = await page();
    expect(users).toMatchObject([{ userId: 1, node: 'a' }]);
    expect(gap).toMatchObject({ silent: ['b'] });
  });

  it('ends with a node whose pages never end', async () => {
    const { clock, state, page } = build();
    state.answer = { rows: [row], isLast: false };
    const asked = page();
    await clock.advanceAsync(5_000);
    expect((await asked).gap).toMatchObject({ silent: ['b'] });
  });
});
