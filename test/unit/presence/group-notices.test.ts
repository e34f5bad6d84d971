import { expect, it } from 'vitest';
import { openRoom } from './room.ts';

const USER = 7;
const GROUP = 'guild';

it('[GR1] a notice of a group that overtakes the answer to the login takes effect at once', async () => {
  const room = await openRoom();
  const { store, tracker } = room;
  const record = store.record.bind(store);
  store.record = async (rows) => {
    const answers = await record(rows);
    // The user is online in the store, and this node does not know it yet.
    const [changed] = await store.changeGroup({ group: GROUP, add: [USER], remove: [] });
    if (changed?.kind !== 'member' || changed.step === undefined) return expect.fail('no step');
    tracker.groupChanged({ userId: USER, group: GROUP, isAdded: true, step: changed.step });
    return answers;
  };
  await room.enter(USER);
  await room.clock.advanceAsync(100);
  expect([...tracker.membersHere([GROUP], new Set())]).toEqual([USER]);
});
