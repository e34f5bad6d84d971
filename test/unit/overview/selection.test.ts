import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { USER_SORTS, USER_STATES, type UserRow, type UsersQuery } from '../../../src/overview/api.ts';
import { matcher, WindowRows } from '../../../src/overview/selection.ts';

function row(fields: Partial<UserRow> = {}): UserRow {
  return {
    ...{ userId: 42, username: 'Li Bai', state: 'active', node: 'a:1', nodes: ['a:1'] },
    ...{ since: 1, lastHeartbeat: 2, ip: '203.0.113.9', connections: 1 },
    ...fields,
  };
}

const anyRow = fc.record({
  userId: fc.nat(500),
  username: fc.string({ maxLength: 3 }),
  state: fc.constantFrom(...USER_STATES),
  since: fc.nat(20),
  lastHeartbeat: fc.nat(20),
});

/** The sort key of each order. */
const KEYS: Readonly<Record<UsersQuery['sort'], (row: UserRow) => number | string>> = {
  since: ({ since }) => since,
  heartbeat: ({ lastHeartbeat }) => lastHeartbeat,
  user: ({ userId }) => userId,
  name: ({ username }) => username.toLowerCase(),
  node: ({ node }) => node,
  state: ({ state }) => USER_STATES.indexOf(state),
};

function sorted(rows: readonly UserRow[], { sort, order }: Pick<UsersQuery, 'sort' | 'order'>): UserRow[] {
  const keyOf = KEYS[sort];
  const sign = order === 'asc' ? 1 : -1;
  return [...rows].sort((left, right) => {
    const [one, other] = [keyOf(left), keyOf(right)];
    if (one === other) return left.userId - right.userId;
    return one < other ? -sign : sign;
  });
}

describe('the rows of a window', () => {
  it('are those of a full sort, for any order and any sequence of rows', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(anyRow, { maxLength: 300, selector: ({ userId }) => userId }),
        fc.constantFrom(...USER_SORTS),
        fc.constantFrom('asc' as const, 'desc' as const),
        fc.nat(320),
        fc.integer({ min: 1, max: 40 }),
        (given, sort, order, offset, limit) => {
          const rows = given.map(row);
          const window = new WindowRows({ sort, order, offset, limit });
          for (const each of rows) window.add(each);
          expect(window.rows()).toEqual(sorted(rows, { sort, order }).slice(offset, offset + limit));
        },
      ),
    );
  });
});

describe('a search', () => {
  it.each([
    ['42', true],
    ['4', true],
    ['2', false],
    ['li', true],
    ['LI BAI', true],
    ['bai 42', true],
    ['bai 43', false],
    ['node:a', true],
    ['node:a:1', true],
    ['node:b', false],
    ['ip:203.0.', true],
    ['ip:10.', false],
    ['state:active', true],
    ['state:act', false],
    ['other:thing', false],
    [':', false],
    ['.*', false],
  ])('%s: %s', (search, isFound) => {
    expect(matcher(search)?.(row())).toBe(isFound);
  });

  it('of only spaces finds every user', () => {
    expect(matcher(' \t ')).toBeUndefined();
  });

  it('finds a user on each of the nodes that hold the user', () => {
    expect(matcher('node:b')?.(row({ nodes: ['a:1', 'b:1'] }))).toBe(true);
  });
});
