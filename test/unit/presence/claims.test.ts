import { describe, expect, it } from 'vitest';
import type { PresenceChange } from '../../../src/presence/api.ts';
import { PresenceWorld } from '../../../src/presence/rules/claims.ts';
import { claimOf } from '../../support/presence-subject.ts';

const USER = 7;

describe('[PR12] the timeline of one user', () => {
  function world() {
    const changes: PresenceChange[] = [];
    const rules = {
      policy: 'replace',
      maxConnectionsPerUser: 3,
      maxGroupsPerUser: 3,
      lastSeenTtlMs: 86_400_000,
      responsiveLeftMs: 0,
    } as const;
    const present = new PresenceWorld(
      rules,
      () => undefined,
      (change) => void changes.push(change),
    );
    let at = 1_000_000;
    const claim = (node: string, changed: Parameters<typeof claimOf>[1]) => {
      at += 100;
      return present.claim(node, claimOf(USER, changed), { wall: at, observed: at });
    };
    return { present, claim, told: () => changes.map(({ event, cause, node }) => [event, cause, node]) };
  }

  it('has a login, a further socket, a take-over and a close', () => {
    const { present, claim, told } = world();
    const opened = claim('a', { mode: 'socket', rev: 1 });
    if (opened.kind !== 'opened') throw new Error(opened.kind);
    present.record('a', { userId: USER, period: opened.period });
    claim('a', { mode: 'socket', rev: 2, sockets: 2, rivals: 1 });
    claim('b', { mode: 'socket', rev: 1, rivals: 1 });
    claim('b', { mode: 'state', rev: 2, sockets: 0, cause: 'connection-lost' });
    claim('b', { mode: 'state', rev: 3, sockets: 0 });
    expect(told()).toEqual([
      ['online', 'login', 'a'],
      ['connected', 'socket', 'a'],
      ['replaced', 'newer-connection', 'a'],
      ['connected', 'socket', 'b'],
      ['disconnected', 'connection-lost', 'b'],
    ]);
  });
});
