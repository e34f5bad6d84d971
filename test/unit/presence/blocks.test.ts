import { describe, expect, it } from 'vitest';
import { openRoom } from './room.ts';

const USER = 7;
const KICK = { userId: USER, reason: 'kick', blockMs: 60_000 } as const;
const BLOCKED = { ok: false, error: 'blocked' } as const;

/** Redis keeps nothing of an offline user (LINGXI_LAST_SEEN_TTL_S=0), except a block. */
const FORGETFUL = { lastSeenTtlMs: 0 } as const;

describe('[PR6] a block where records of offline users are not kept', () => {
  it('of a user who was online lasts as long as it says, whatever is settled meanwhile', async () => {
    const room = await openRoom(FORGETFUL);
    await room.enter(USER);
    const kickedAt = room.clock.now();
    await room.during(room.tracker.logout(KICK));
    await room.clock.advanceAsync(1000, 25);
    expect(room.ledger.settlements).toHaveLength(1);
    expect(await room.during(room.admit(USER))).toEqual(BLOCKED);
    await room.clock.advanceAsync(kickedAt + 59_900 - room.clock.now(), 25);
    expect(await room.during(room.admit(USER))).toEqual(BLOCKED);
    await room.clock.advanceAsync(200, 25);
    expect((await room.during(room.admit(USER))).ok).toBe(true);
  });

  it('of a user who was offline lasts, through the refused logins as well', async () => {
    const room = await openRoom(FORGETFUL);
    expect((await room.during(room.tracker.logout(KICK))).ok).toBe(false);
    for (let second = 0; second < 59; second += 1) {
      expect(await room.during(room.admit(USER))).toEqual(BLOCKED);
      await room.clock.advanceAsync(1000, 50);
    }
    await room.clock.advanceAsync(1000, 25);
    expect((await room.during(room.admit(USER))).ok).toBe(true);
  });

  it('of a user during a login outlasts the opening that the login gives up', async () => {
    const room = await openRoom(FORGETFUL);
    room.ledger.open = async () => {
      // The opening is not recorded yet: nothing ends, and the block stands.
      const [answer] = await room.store.end([{ ...KICK, epoch: 1, proofAgeMs: -1 }]);
      expect(answer?.kind).toBe('young');
      throw new Error('SQL down');
    };
    expect(await room.during(room.admit(USER))).toEqual({ ok: false, error: 'settlement-unavailable' });
    await room.clock.advanceAsync(1000, 25);
    expect(await room.during(room.admit(USER))).toEqual(BLOCKED);
  });

  it('that was lifted keeps nobody out', async () => {
    const room = await openRoom(FORGETFUL);
    await room.during(room.tracker.logout(KICK));
    await room.during(room.tracker.logout({ ...KICK, blockMs: 0 }));
    expect((await room.during(room.admit(USER))).ok).toBe(true);
  });

  it('[PR7] with a late logout blocks nobody', async () => {
    const room = await openRoom(FORGETFUL);
    const older = await room.enter(USER);
    await room.enter(USER);
    const late = { ...KICK, epoch: older.accepted.epoch };
    expect(await room.during(room.tracker.logout(late))).toEqual({ ok: false, error: 'superseded' });
    expect((await room.during(room.admit(USER))).ok).toBe(true);
  });
});
