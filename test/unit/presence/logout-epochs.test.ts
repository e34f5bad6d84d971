import { describe, expect, it } from 'vitest';
import type { EndRequest } from '../../../src/presence/store/port.ts';
import { claimOf } from '../../support/presence-subject.ts';
import { openRoom, type Room, settlementOf } from './room.ts';

const USER = 7;
/** Higher than any claim of the node, like a claim that another connection makes in between. */
const LATER_REV = 1000;

/** Another connection of the user, through another node. Returns its epoch and its period. */
async function connectPast({ store }: Room, rev = LATER_REV): Promise<{ epoch: number; period: number }> {
  const [answer] = await store.claim([claimOf(USER, { mode: 'socket', rev, sockets: 1, socketMs: 9000 })]);
  if (answer?.kind !== 'opened' && answer?.kind !== 'joined') throw new Error(`not let in: ${answer?.kind}`);
  await store.record([{ userId: USER, period: answer.period }]);
  return answer;
}

/** Records each end that the node sends to the store. `meanwhile` runs before the first one. */
function noteEnds({ store }: Room, meanwhile: () => Promise<'young' | undefined>): EndRequest[] {
  const asked: EndRequest[] = [];
  store.ending = async (request) => {
    asked.push(request);
    const kind = asked.length === 1 ? await meanwhile() : undefined;
    return kind === undefined ? undefined : { kind };
  };
  return asked;
}

describe('a logout without an epoch', () => {
  it('[PR7] carries the epoch that it read, and each retry the same one', async () => {
    const room = await openRoom();
    const { accepted } = await room.enter(USER);
    const asked = noteEnds(room, () => Promise.resolve('young'));
    const answer = await room.during(room.tracker.logout({ userId: USER, reason: 'logout' }));
    expect(answer.ok).toBe(true);
    expect(asked.map(({ epoch }) => epoch)).toEqual([accepted.epoch, accepted.epoch]);
  });

  it('[PR7] [trap 8] does not end the period that began between a try and the next', async () => {
    const room = await openRoom();
    const { accepted } = await room.enter(USER);
    let next = { period: 0 };
    noteEnds(room, async () => {
      room.store.ending = undefined;
      await room.store.end([{ userId: USER, reason: 'logout', epoch: accepted.epoch, proofAgeMs: -1 }]);
      await room.clock.advanceAsync(5, 1);
      next = await connectPast(room);
      return 'young';
    });
    const answer = await room.during(room.tracker.logout({ userId: USER, reason: 'logout' }));
    expect(answer).toEqual({ ok: false, error: 'presence-unavailable' });
    expect(next.period).toBeGreaterThan(accepted.period);
    const [record] = await room.store.read([USER]);
    expect(record).toMatchObject({ status: 'online', period: next.period });
  });

  it('[PR7] of a user who was offline does not end the period that opens meanwhile', async () => {
    const room = await openRoom();
    noteEnds(room, async () => {
      await connectPast(room);
      return undefined;
    });
    const answer = await room.during(room.tracker.logout({ userId: USER, reason: 'kick' }));
    expect(answer.ok).toBe(false);
    expect((await room.store.read([USER]))[0]?.status).toBe('online');
  });

  it('[PR7] ends the period that it found, though a newer connection came to it meanwhile', async () => {
    const room = await openRoom();
    const { accepted } = await room.enter(USER);
    const asked = noteEnds(room, async () => {
      await room.clock.advanceAsync(5, 1);
      await connectPast(room);
      return undefined;
    });
    expect((await room.during(room.tracker.logout({ userId: USER, reason: 'logout' }))).ok).toBe(true);
    expect(settlementOf(room, USER)).toMatchObject({ period: accepted.period, reason: 'logout' });
    expect(asked.map(({ epoch }) => epoch)).toEqual([accepted.epoch, expect.any(Number)]);
    expect(asked[1]?.epoch).toBeGreaterThan(accepted.epoch);
  });
});
