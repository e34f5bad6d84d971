import { describe, expect, it } from 'vitest';
import { openRoom } from './room.ts';

const USER = 7;

describe('[ST5] the node reports again to SQL that it holds a period', () => {
  it('each minute while this node holds the user, and no longer', async () => {
    const room = await openRoom({ renewalMs: 3000 });
    const player = await room.enter(USER);
    await room.play(player, 55_000);
    expect(room.ledger.moves).toEqual([]);
    await room.play(player, 10_000);
    const told = { userId: USER, period: player.accepted.period };
    expect(room.ledger.moves).toEqual([told]);
    await room.play(player, 60_000);
    expect(room.ledger.moves).toEqual([told, told]);
    player.socket.end();
    await room.clock.advanceAsync(120_000, 50);
    expect(room.ledger.moves).toEqual([told, told]);
  });

  it('not while the store has no hold of this node', async () => {
    const room = await openRoom({ renewalMs: 3000 });
    const player = await room.enter(USER);
    await room.play(player, 55_000);
    room.store.answer = ({ mode }) => (mode === 'state' ? { kind: 'gone' } : undefined);
    // The next claim is due, and the socket is silent from now on.
    await room.clock.advanceAsync(8000, 25);
    expect(player.socket.code).toBeUndefined();
    expect(room.tracker.holdsHere(USER)).toBe(true);
    expect(room.ledger.moves).toEqual([]);
    // The store has the hold again once the socket shows life.
    room.store.answer = undefined;
    await room.play(player, 3000);
    expect(room.ledger.moves).toEqual([{ userId: USER, period: player.accepted.period }]);
  });

  it('never where the store is in this process: there is no other node', async () => {
    const room = await openRoom();
    const player = await room.enter(USER);
    await room.play(player, 130_000);
    expect(room.ledger.moves).toEqual([]);
  });
});
