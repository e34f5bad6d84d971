import { describe, expect, it } from 'vitest';
import { GroupMembers, NO_MEMBER } from '../../../src/presence/node/group-members.ts';
import { UserHold } from '../../../src/presence/node/hold.ts';
import { NO_PROOF } from '../../../src/presence/node/hold-state.ts';
import { groupsOf, heardGroups, newerGroups, steppedGroups } from '../../../src/presence/rules/groups.ts';
import { newHold, newRecord } from '../../../src/presence/rules/record.ts';
import { groupsText, isGroupName, namesIn } from '../../../src/protocol/groups.ts';

const NOBODY: ReadonlySet<number> = new Set();

describe('names of groups', () => {
  it.each(['g', 'Guild:7', 'a.b-c_d', '0', 'x'.repeat(64)])('%s is one', (name) => {
    expect(isGroupName(name)).toBe(true);
  });

  it.each([
    '',
    'a b',
    'x'.repeat(65),
    'a;b',
    'a|b',
    'a,b',
    'a\n',
    '灵',
    '*',
    'a/b',
    7,
    null,
    undefined,
    ['g'],
  ])('%j is none', (name) => {
    expect(isGroupName(name)).toBe(false);
  });

  it('in a text appear once each, in order', () => {
    expect(groupsText(['b', 'a', 'b'])).toBe('a;b');
    expect(groupsText([])).toBe('');
    expect(namesIn('')).toEqual([]);
    expect(namesIn('a;b')).toEqual(['a', 'b']);
  });
});

describe('[GR1] groups by the service', () => {
  it('of the same period are newer if their version is higher', () => {
    expect(newerGroups('5;a', '6')).toBe('6');
    expect(newerGroups('6', '5;a')).toBe('6');
    expect(newerGroups('', '1;a')).toBe('1;a');
  });

  it('are those of the store, unless the node received a change since its claim', () => {
    expect(heardGroups('9;a', { told: '5;b', stated: 9 })).toBe('5;b');
    expect(heardGroups('9;a', { told: '0', stated: 9 })).toBe('');
    expect(heardGroups('9;a', { told: '5;b', stated: 4 })).toBe('9;a');
    expect(heardGroups('', { told: '5;b', stated: 4 })).toBe('5;b');
  });

  it('follow the steps that a node receives; after a gap the node asks for the whole list', () => {
    const step = { period: 1, before: 5, version: 6 };
    expect(steppedGroups('5;a', { group: 'b', isAdded: true, step })).toBe('6;a;b');
    expect(steppedGroups('5;a;b', { group: 'a', isAdded: false, step })).toBe('6;b');
    expect(steppedGroups('4;a', { group: 'b', isAdded: true, step })).toBeUndefined();
    expect(steppedGroups('7;c', { group: 'b', isAdded: true, step })).toBe('7;c');
    expect(steppedGroups('', { group: 'b', isAdded: true, step: { ...step, before: 0 } })).toBe('6;b');
  });

  it('count together with those of tokens, while the user is online', () => {
    const record = { ...newRecord(1), groups: '5;a;b', recorded: true };
    expect([...groupsOf(record)]).toEqual([]);
    record.holds.set('n', { ...newHold(), tokenGroups: 'b;c' });
    expect([...groupsOf(record)]).toEqual(['a', 'b', 'c']);
    expect([...groupsOf({ ...record, recorded: false })]).toEqual([]);
  });
});

describe('[GR2] members on this node', () => {
  it('follow each user, and no group is left behind', () => {
    const members = new GroupMembers();
    const both = { given: '1;a;b', byToken: 'b' };
    members.moved(1, NO_MEMBER, both);
    members.moved(2, NO_MEMBER, { given: '', byToken: 'b' });
    expect([...members.of(['a', 'b', 'a', 'none'], NOBODY)]).toEqual([1, 2]);
    expect([...members.of(['b'], new Set([1]))]).toEqual([2]);
    members.moved(1, both, { given: '2', byToken: 'b' });
    expect([...members.of(['a'], NOBODY)]).toEqual([]);
    members.moved(1, { given: '2', byToken: 'b' }, NO_MEMBER);
    expect([...members.of(['b'], NOBODY)]).toEqual([2]);
  });

  it('leave with the socket of their token, and with the period', () => {
    const members = new GroupMembers();
    const timeouts = { heartbeatTimeoutMs: 10_000, httpTimeoutMs: 15_000 };
    const hold = new UserHold(7, { timeouts, members, due: () => undefined });
    const here = (group: string): boolean => members.of([group], NOBODY).has(7);
    hold.adopt({ period: 1, loginTime: 1, groups: '5;given' });
    const socket = { kind: 'admitted', connectionId: 'c', epoch: 1, rev: 1, admitted: NO_PROOF } as const;
    hold.addSocket({ ...socket, groups: 'token' });
    expect([here('given'), here('token')]).toEqual([true, true]);
    expect(hold.renewGroups('c', 'other')).toBe(true);
    expect(hold.renewGroups('c', 'other')).toBe(false);
    expect(hold.renewGroups('gone', 'other')).toBe(false);
    expect([here('token'), here('other')]).toEqual([false, true]);
    hold.removeSocket('c', 'client-closed');
    expect([here('given'), here('other')]).toEqual([true, false]);
    // The same period keeps them after an adoption; another period has none.
    hold.adopt({ period: 1, loginTime: 1 });
    expect(here('given')).toBe(true);
    hold.adopt({ period: 2, loginTime: 2 });
    expect(here('given')).toBe(false);
    hold.giveGroups('9;late');
    hold.forget();
    expect(here('late')).toBe(false);
  });
});
