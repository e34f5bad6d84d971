import { describe, expect, it } from 'vitest';
import { openRoom, type Player, type Room, settlementOf } from './room.ts';

const CROWD = 60;
const TIMEOUT_MS = 10_000;

async function crowd(room: Room): Promise<readonly Player[]> {
  const players: Player[] = [];
  for (let userId = 1; userId <= CROWD; userId += 1) players.push(await room.enter(userId));
  for (const { socket } of players) socket.hear('{"type":"ping"}');
  return players;
}

async function online(room: Room): Promise<number> {
  const ids = Array.from({ length: CROWD }, (_, index) => index + 1);
  const users = await room.during(room.tracker.read(ids));
  return users.filter((user) => user?.status === 'online').length;
}

describe('users who linger when many time out together', () => {
  it('[HB6] [ST5] are held back for one more timeout, and their logout time does not move', async () => {
    const room = await openRoom({ massTimeoutShare: 0.2 });
    const players = await crowd(room);
    const proof = room.clock.now();
    await room.clock.advanceAsync(1000);
    for (const { socket } of players) socket.end(1006);
    await room.clock.advanceAsync(TIMEOUT_MS + 1000);
    expect(await online(room)).toBe(CROWD);
    expect(room.manager.counters.massTimeoutsHeld).toBe(CROWD);
    await room.clock.advanceAsync(TIMEOUT_MS - 2500);
    expect(await online(room)).toBe(CROWD);
    const back = await room.enter(1);
    expect(back.accepted.resumed).toBe(true);
    await room.clock.advanceAsync(2000);
    expect(await online(room)).toBe(1);
    expect(settlementOf(room, 2)).toMatchObject({ reason: 'timeout', logoutAt: proof + TIMEOUT_MS });
  });

  it('[HB6] keep the rest of that time if their sockets close meanwhile', async () => {
    const room = await openRoom({ massTimeoutShare: 0.2 });
    const players = await crowd(room);
    await room.clock.advanceAsync(TIMEOUT_MS + 2000);
    expect(room.manager.counters.massTimeoutsHeld).toBe(CROWD);
    for (const { socket } of players) socket.end(1006);
    await room.clock.advanceAsync(TIMEOUT_MS - 3000);
    expect(await online(room)).toBe(CROWD);
    await room.clock.advanceAsync(2000);
    expect(await online(room)).toBe(0);
  });

  it('[HB6] are not held back if the breaker is off', async () => {
    const room = await openRoom();
    const players = await crowd(room);
    for (const { socket } of players) socket.end(1006);
    await room.clock.advanceAsync(TIMEOUT_MS + 500);
    expect(await online(room)).toBe(0);
  });
});
