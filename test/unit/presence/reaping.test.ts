import { describe, expect, it } from 'vitest';
import { openRoom, type Room } from './room.ts';

const looks = ({ store }: Room): number => store.calls.filter((call) => call === 'reap').length;

describe('[PR8] reaps', () => {
  it("come with each renewal, and also at the time of a node's death", async () => {
    const room = await openRoom();
    const before = looks(room);
    await room.clock.advanceAsync(1000);
    expect(looks(room) - before).toBe(2);
    room.store.nextDeathMs = 200;
    await room.clock.advanceAsync(500);
    room.store.nextDeathMs = 9000;
    const told = looks(room);
    await room.clock.advanceAsync(190);
    expect(looks(room)).toBe(told);
    await room.clock.advanceAsync(20);
    expect(looks(room)).toBe(told + 1);
  });

  it('are not repeated at once if the time of a death does not advance', async () => {
    const room = await openRoom();
    room.store.nextDeathMs = 0;
    await room.clock.advanceAsync(500);
    const before = looks(room);
    await room.clock.advanceAsync(1000);
    expect(looks(room) - before).toBeLessThanOrEqual(102);
  });

  it('end when the node stops', async () => {
    const room = await openRoom();
    room.store.nextDeathMs = 300;
    await room.clock.advanceAsync(500);
    await room.during(room.tracker.stop());
    const before = looks(room);
    await room.clock.advanceAsync(2000);
    expect(looks(room)).toBe(before);
  });
});
