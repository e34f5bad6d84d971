import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { CREATED_USERS_RATE, LoginLimits } from '../../../src/presence/node/login-limits.ts';
import { openRoom } from './room.ts';

const USER = 7;

describe('periods of one user', () => {
  it('are limited a minute; 0 is off', () => {
    const clock = new FakeClock();
    const limits = new LoginLimits(clock, 2);
    const opened = () => limits.allows({ userId: USER });
    expect([opened(), opened(), opened()]).toEqual([true, true, false]);
    expect(limits.allows({ userId: 8 })).toBe(true);
    clock.advance(30_000);
    expect([opened(), opened()]).toEqual([true, false]);
    const unlimited = new LoginLimits(clock, 0);
    expect(Array.from({ length: 1000 }, () => unlimited.allows({ userId: USER }))).not.toContain(false);
  });

  it('above the limit a login by HTTP or socket is refused, leaves no row and nobody online', async () => {
    const room = await openRoom({ loginsPerMinute: 1 });
    const player = await room.enter(USER);
    // Joins, however often, are no openings.
    for (let count = 0; count < 5; count += 1)
      expect((await room.during(room.tracker.login({ userId: USER, ip: '' }))).ok).toBe(true);
    await room.during(room.tracker.logout({ userId: USER, reason: 'logout' }));
    expect(player.socket.code).toBe(4000);
    const refused = { ok: false, error: 'rate-limited' };
    expect(await room.during(room.tracker.login({ userId: USER, ip: '' }))).toEqual(refused);
    expect(await room.during(room.admit(USER))).toEqual(refused);
    expect(await room.status(USER)).toBe('offline');
    await room.clock.advanceAsync(60_000, 100);
    expect((await room.during(room.admit(USER))).ok).toBe(true);
  });
});

describe('unknown users from one address', () => {
  it('are limited by address and IPv6 /64 if they have no credential', () => {
    const clock = new FakeClock();
    const limits = new LoginLimits(clock, 60);
    const unknown = { exists: false };
    const create = (userId: number, creator = `2001:db8::${userId.toString(16)}`) =>
      limits.allows({ userId, creator }, unknown);
    for (let userId = 0; userId < CREATED_USERS_RATE.burst; userId += 1) expect(create(userId)).toBe(true);
    expect(create(1000)).toBe(false);
    expect(create(1000, '2001:db8:0:1::1')).toBe(true);
    expect(limits.allows({ userId: 1001, creator: '2001:db8::1' }, { exists: true })).toBe(true);
    expect(limits.allows({ userId: 1002 }, unknown)).toBe(true);
    clock.advance(1000);
    expect([create(1003), create(1004)]).toEqual([true, false]);
  });
});
