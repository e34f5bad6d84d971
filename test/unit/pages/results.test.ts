import { describe, expect, it } from 'vitest';
import { readUser, stateOf, type UserDetails } from '../../../pages/dashboard/readers.ts';
import { isSo } from '../../../pages/dashboard/result.ts';
import { shownOrder } from '../../../pages/dashboard/route.ts';

function details(more: object = {}): UserDetails {
  const read = readUser({ player: { status: 'online' }, connections: [], ...more });
  if (read === undefined) throw new Error('these are details');
  return read;
}

describe('the result of an action on a user', () => {
  it.each([
    ['blocked', { blockedUntil: 5 }, true],
    ['blocked', {}, false],
    ['unblocked', {}, true],
    ['unblocked', { blockedUntil: 5 }, false],
    ['connected', { connections: [{}] }, true],
    ['connected', {}, false],
    ['unconnected', {}, true],
    ['unconnected', { connections: [{}] }, false],
    ['unconnected', { partial: ['west'] }, undefined],
    ['connected', { partial: ['west'] }, undefined],
  ] as const)('%s with %j is so: %s', (what, more, answer) => {
    expect(isSo(what, details(more))).toBe(answer);
  });

  it('is not known before the first answer', () => {
    expect(isSo('blocked', undefined)).toBeUndefined();
  });
});

describe('the state of a user', () => {
  it.each([
    ['active', { state: 'active' }],
    ['active', { state: 'active', partial: ['west'] }],
    ['background', { state: 'background' }],
    ['http', { state: 'http' }],
    ['lingering', { state: 'lingering' }],
    ['online', {}],
    ['online', { partial: ['west'] }],
    ['online', { state: 'background', partial: ['west'] }],
    ['offline', { player: { status: 'offline' } }],
  ])('is %s with %j', (state, more) => {
    const all = details(more);
    if (all.player === undefined) throw new Error('the user is known');
    expect(stateOf(all.player, all)).toBe(state);
  });
});

describe('the order that a list shows', () => {
  it('is that of the durations if the server sorts by times', () => {
    expect([shownOrder('since', 'desc'), shownOrder('heartbeat', 'asc')]).toEqual(['asc', 'desc']);
    expect([shownOrder('name', 'asc'), shownOrder('user', 'desc')]).toEqual(['asc', 'desc']);
  });
});
