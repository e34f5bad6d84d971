import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readCounts } from '../../../pages/dashboard/counts.ts';
import { readConfig, readTimeline, readUser, readUsers } from '../../../pages/dashboard/readers.ts';
import { parseRoute, usersHash } from '../../../pages/dashboard/route.ts';

const READERS = { readCounts, readConfig, readTimeline, readUser, readUsers };

describe.each(Object.entries(READERS))('%s', (_, read) => {
  it('accepts any JSON without a fault', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => void read(value)));
  });

  it.each([null, 1, 'text', [], {}, { users: null }, { keys: {} }])('finds nothing in %j', (value) => {
    expect(read(value)).toBeUndefined();
  });
});

describe('the answers of the server', () => {
  it('may have parts of a wrong type, which become harmless', () => {
    const wrong = { at: 5, users: { online: 3, lingering: 'x' }, totals: [], nodes: [null, 7, { node: {} }] };
    expect(readCounts(wrong)).toMatchObject({ online: 3, lingering: 0, totals: {} });
    expect(readCounts(wrong)?.nodes).toHaveLength(3);
    const odd = { users: [{ userId: 'x', nodes: 'y', username: { toString: 'z' } }] };
    expect(readUsers(odd)?.users).toMatchObject([{ userId: 0, nodes: [], username: '' }]);
    expect(readUser({ connections: [], player: 'none' })?.player).toBeUndefined();
    expect(readConfig({ keys: [{ name: 'A', value: null }], access: 'root' })).toMatchObject({
      access: undefined,
      keys: [{ name: 'A', value: '' }],
    });
  });

  it('are cut if they are too large', () => {
    const causes = Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`cause-${index}`, index]));
    const counts = readCounts({ at: 1, users: { online: 0 }, totals: { logouts: causes } });
    expect(Object.keys(counts?.totals ?? {}).length).toBeLessThan(100);
    const users = Array.from({ length: 5_000 }, (_, userId) => ({ userId }));
    expect(readUsers({ users })?.users).toHaveLength(200);
  });
});

describe('the address behind #', () => {
  it.each(['', '#', '#/', '#/nothing', '#/users/', '#/users/abc', '#/users/-1', `#/users/${'9'.repeat(17)}`])(
    'leads to a page that exists: %s',
    (hash) => {
      expect(['overview', 'users']).toContain(parseRoute(hash).view);
    },
  );

  it('names a user, and keeps search and order', () => {
    expect(parseRoute('#/users/9007199254740991')).toMatchObject({
      view: 'user',
      userId: '9007199254740991',
    });
    fc.assert(
      fc.property(fc.string({ maxLength: 50, unit: 'grapheme' }), (search) => {
        const asked = { search, sort: 'name', order: 'asc' } as const;
        expect(parseRoute(usersHash(asked))).toMatchObject({ view: 'users', ...asked });
      }),
    );
    expect(parseRoute('#/users?sort=__proto__&order=up')).toMatchObject({ sort: 'since', order: 'desc' });
  });
});
