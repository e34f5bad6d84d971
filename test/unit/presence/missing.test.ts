import { describe, expect, it } from 'vitest';
import type { Claim, ClaimAnswer } from '../../../src/presence/store/port.ts';
import { openRoom, type Player, type Room } from './room.ts';

const USER = 7;
const EVERY_REV = 1_000_000;
const GONE: ClaimAnswer = { kind: 'gone' };

/** The store answers each regular claim as if it had taken the user from this node. */
function gone({ mode }: Claim): ClaimAnswer | undefined {
  return mode === 'state' ? GONE : undefined;
}

/** Lets time pass in steps of 1 ms. */
async function until(room: Room, isSo: () => boolean): Promise<void> {
  for (let ms = 0; !isSo(); ms += 1) {
    if (ms > 2000) throw new Error('not so after 2 s');
    await room.clock.advanceAsync(1, 1);
  }
}

/** The store has taken a user from this node. The user has a silent socket here, and a proof of life by HTTP. */
async function missing(): Promise<{ room: Room; player: Player }> {
  const room = await openRoom();
  const player = await room.enter(USER);
  expect((await room.during(room.tracker.heartbeat(USER))).ok).toBe(true);
  room.store.answer = gone;
  // The store is away for a moment. The node then claims all its holds.
  room.store.down = true;
  await room.clock.advanceAsync(600, 1);
  room.store.down = false;
  const asked = room.store.calls.length;
  await until(room, () => room.store.calls.lastIndexOf(`state ${USER}`) >= asked);
  await room.clock.advanceAsync(50, 1);
  expect(player.socket.code).toBeUndefined();
  return { room, player };
}

/** How many heartbeats by HTTP the node has passed on to the store. */
const beats = ({ store }: Room): number => store.calls.filter((call) => call === `beat ${USER}`).length;

describe('[PR1] the store has taken a user from this node, and it answers the next heartbeat by HTTP', () => {
  it('while the socket is open', async () => {
    const { room } = await missing();
    await room.during(room.tracker.heartbeat(USER));
    expect(beats(room)).toBe(1);
  });

  it.each<readonly [string, (room: Room, player: Player) => Promise<void>]>([
    [
      'the client has closed the last socket',
      async (_, player) => {
        player.socket.end();
      },
    ],
    [
      'another node has the user, and the last socket is closed',
      async (room, player) => {
        room.store.answer = ({ mode, sockets }) => {
          if (mode !== 'state') return undefined;
          return sockets > 0 ? { kind: 'taken' } : GONE;
        };
        await until(room, () => player.socket.code === 4001);
      },
    ],
    [
      'a loss takes the last socket',
      async (room, player) => {
        room.store.losses.push({ userId: USER, rev: EVERY_REV, reason: 'replaced' });
        await until(room, () => player.socket.code === 4001);
      },
    ],
  ])('after %s', async (_, end) => {
    const { room, player } = await missing();
    await end(room, player);
    const before = beats(room);
    const beat = room.tracker.heartbeat(USER);
    // The node has not claimed in between.
    expect(beats(room)).toBe(before);
    await room.during(beat);
    expect(beats(room)).toBe(before + 1);
  });

  it('if it said so in a restore, and is away before the next claim', async () => {
    const room = await openRoom();
    await room.during(room.tracker.login({ userId: USER, ip: '' }));
    const { store, clock, tracker } = room;
    store.answer = ({ mode }) => {
      if (mode !== 'restate') return undefined;
      store.down = true;
      return GONE;
    };
    store.restoring = true;
    await until(room, () => store.down);
    await clock.advanceAsync(100, 1);
    expect(await room.during(tracker.heartbeat(USER))).toEqual({ ok: false, error: 'presence-unavailable' });
  });

  it('if the user has no socket, and the next claim gets no answer', async () => {
    const room = await openRoom({ renewalMs: 3000 });
    await room.during(room.tracker.login({ userId: USER, ip: '' }));
    const { store, clock, tracker } = room;
    await clock.advanceAsync(4000, 25);
    store.answer = (claim) => {
      store.down = true;
      return gone(claim);
    };
    // The node claims a proof that comes so late at once.
    expect((await room.during(tracker.heartbeat(USER))).ok).toBe(true);
    await clock.advanceAsync(2000, 5);
    expect(store.down).toBe(true);
    store.answer = undefined;
    expect(await room.during(tracker.heartbeat(USER))).toEqual({ ok: false, error: 'presence-unavailable' });
    store.down = false;
    await clock.advanceAsync(1000, 5);
    expect(await room.during(tracker.heartbeat(USER))).toMatchObject({ ok: true });
  });
});

describe('[PR1] [PR11] the store had taken a user from this node, lost its data, and has the user again', () => {
  it.each<readonly [string, (room: Room) => Promise<unknown>]>([
    ['a silent socket', (room) => room.enter(USER)],
    ['no socket', (room) => room.during(room.tracker.login({ userId: USER, ip: '' }))],
  ])('a node with %s answers the next heartbeat by HTTP', async (_, enter) => {
    const room = await openRoom();
    await enter(room);
    const { store, clock, tracker } = room;
    const isRestored = (): boolean => store.calls.includes(`restate ${USER}`);
    // The store loses its data just after this answer.
    store.answer = (claim) => {
      if (isRestored() || gone(claim) === undefined) return undefined;
      store.restoring = true;
      return GONE;
    };
    store.down = true;
    await clock.advanceAsync(600, 1);
    store.down = false;
    await until(room, isRestored);
    // The store keeps the user, and accepts no claims for now.
    store.answer = ({ mode }) => (mode === 'restate' ? undefined : { kind: 'young' });
    await clock.advanceAsync(50, 1);
    expect(await room.during(tracker.heartbeat(USER))).toMatchObject({ ok: true });
    expect(beats(room)).toBe(0);
  });
});
