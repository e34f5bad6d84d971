import { describe, expect, it } from 'vitest';
import { PresenceWorld } from '../../../src/presence/rules/claims.ts';
import { Endings } from '../../../src/presence/rules/endings.ts';
import { Losses } from '../../../src/presence/rules/losses.ts';
import { newRecord } from '../../../src/presence/rules/record.ts';
import { claimOf } from '../../support/presence-subject.ts';

const USER = 7;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const START = 1_000_000;

function begin(lastSeenTtlMs: number) {
  const rules = {
    policy: 'replace',
    maxConnectionsPerUser: 3,
    maxGroupsPerUser: 3,
    responsiveLeftMs: 0,
    lastSeenTtlMs,
  } as const;
  const world = new PresenceWorld(rules, () => undefined);
  const scene = {
    world,
    wall: START,
    now: () => ({ wall: scene.wall, observed: scene.wall }),
    open(rev: number): number {
      const answer = world.claim('a', claimOf(USER, { mode: 'socket', rev }), scene.now());
      if (answer.kind !== 'opened') throw new Error(answer.kind);
      return answer.period;
    },
    login(rev: number): number {
      const period = scene.open(rev);
      world.record('a', { userId: USER, period });
      return period;
    },
    logout: (changed: { readonly blockMs?: number } = {}) =>
      world.end('a', { userId: USER, reason: 'logout', epoch: 0, proofAgeMs: -1, ...changed }, scene.now()),
    settle: (period: number) => world.acknowledgeDuty({ userId: USER, period }, scene.now()),
    isKnownAfter: (ms: number) => world.recordOf(USER, scene.wall + ms) !== undefined,
  };
  return scene;
}

describe('[ST6] the record of a user', () => {
  it('stays while the user is online, and while a duty waits', () => {
    const scene = begin(DAY_MS);
    const period = scene.login(1);
    expect(scene.world.records.get(USER)?.expiresAt).toBeUndefined();
    scene.logout();
    expect(scene.world.records.get(USER)?.expiresAt).toBeUndefined();
    scene.settle(period + 1);
    expect(scene.world.records.get(USER)?.expiresAt).toBeUndefined();
    scene.settle(period);
    expect([scene.isKnownAfter(DAY_MS), scene.world.leases.highestEpoch]).toEqual([true, period]);
    expect(scene.isKnownAfter(DAY_MS + 1)).toBe(false);
  });

  it('expires at once if nothing must be remembered, but a block outlives it', () => {
    const forgotten = begin(0);
    const period = forgotten.login(1);
    forgotten.logout();
    forgotten.settle(period);
    expect([forgotten.isKnownAfter(1), forgotten.isKnownAfter(2)]).toEqual([true, false]);
    const blocked = begin(0);
    const kicked = blocked.login(1);
    blocked.logout({ blockMs: 60_000 });
    blocked.settle(kicked);
    blocked.wall += 59_999;
    expect(blocked.world.claim('a', claimOf(USER, { mode: 'http', rev: 2 }), blocked.now())).toEqual({
      kind: 'refused',
      code: 'blocked',
    });
    expect([blocked.isKnownAfter(1), blocked.isKnownAfter(2)]).toEqual([true, false]);
  });

  it('of a user who was never seen is kept only for a block', () => {
    const scene = begin(0);
    scene.logout({ blockMs: 5000 });
    expect([scene.isKnownAfter(5000), scene.isKnownAfter(5001)]).toEqual([true, false]);
    scene.logout({ blockMs: 5000 });
    scene.logout({ blockMs: 0 });
    expect(scene.isKnownAfter(0)).toBe(false);
  });

  it('stays from the next login on, also if a restore brings it', () => {
    for (const returns of ['login', 'restate'] as const) {
      const scene = begin(DAY_MS);
      const period = scene.login(1);
      scene.logout();
      scene.settle(period);
      scene.wall += 1000;
      const again = claimOf(USER, { mode: 'restate', rev: 2, period: period + 1, loginTime: period + 1 });
      if (returns === 'login') scene.login(2);
      else scene.world.claim('a', again, scene.now());
      expect(scene.isKnownAfter(2 * DAY_MS)).toBe(true);
    }
  });

  it('expires by the time of the opening that was given up last', () => {
    const scene = begin(DAY_MS);
    scene.settle(scene.login(1));
    const { end } = scene.logout() as { end: { period: number } };
    scene.settle(end.period);
    scene.wall += HOUR_MS;
    const period = scene.open(2);
    expect(scene.world.withdraw('a', { userId: USER, period }, scene.now())).toBe(true);
    expect([scene.isKnownAfter(DAY_MS), scene.isKnownAfter(DAY_MS + 1)]).toEqual([true, false]);
  });
});

describe('[PR7] how the last period of a user ended', () => {
  const ending = { period: 1, loginTime: 1, lastHeartbeat: 2, logoutTime: START, reason: 'logout' } as const;
  const endings = (lastSeenTtlMs: number) => {
    const kept = new Endings({ lastSeenTtlMs });
    kept.add(USER, ending, START);
    return kept;
  };

  it('stays for an hour if the record expires sooner', () => {
    for (const lastSeenTtlMs of [0, 5000, HOUR_MS - 1]) {
      const kept = endings(lastSeenTtlMs);
      kept.expire(START + HOUR_MS);
      expect(kept.lastOf(newRecord(USER), START + HOUR_MS)).toEqual(ending);
      expect(kept.lastOf(newRecord(USER), START + HOUR_MS + 1)).toBeUndefined();
      expect(kept.lastOf(newRecord(USER + 1), START)).toBeUndefined();
      kept.expire(START + HOUR_MS + 1);
      expect([...kept]).toEqual([]);
    }
  });

  it('is stored in the record alone if the record stays as long', () => {
    expect([...endings(HOUR_MS)]).toEqual([]);
  });

  it('comes from the record while there is one', () => {
    const last = { ...ending, period: 2, reason: 'timeout' } as const;
    expect(endings(0).lastOf({ ...newRecord(USER), last }, START)).toEqual(last);
  });
});

describe('[PR8] the losses of a node', () => {
  const loss = { userId: USER, rev: 3, reason: 'replaced' } as const;

  it('stay until acknowledged, whatever time that takes', () => {
    const losses = new Losses();
    losses.add('a', loss);
    expect(losses.renewed('a', [], START + DAY_MS)).toEqual([loss]);
    expect(losses.renewed('a', [{ ...loss, rev: 2 }], START + DAY_MS)).toEqual([loss]);
    expect(losses.renewed('a', [loss], START + DAY_MS)).toEqual([]);
    expect(losses.get('a')).toBeUndefined();
  });

  it('stay for an hour after nothing else is left of a dead node, and for good once it returns', () => {
    for (const [after, told] of [
      [HOUR_MS, [loss]],
      [HOUR_MS + 1, []],
    ] as const) {
      const losses = new Losses();
      losses.add('a', loss);
      losses.ofDead('a', START);
      expect(losses.renewed('a', [], START + after)).toEqual(told);
      expect(losses.renewed('a', [], START + DAY_MS)).toEqual(told);
    }
  });
});
