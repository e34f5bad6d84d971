import { describe, expect, it } from 'vitest';
import { LossNotices } from '../../../src/presence/node/loss-notices.ts';
import type { Loss } from '../../../src/presence/store/port.ts';
import { Switchboard } from '../cluster/switchboard.ts';
import { NODE, openRoom, type Room } from './room.ts';

const USER = 7;
const EVERY_REV = 1_000_000;
const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** A node that receives notices. The store no longer has the holds of this node. */
async function begin(): Promise<{ room: Room; bus: Switchboard; tell: (...losses: Loss[]) => void }> {
  const bus = new Switchboard();
  const room = await openRoom({ bus });
  room.store.answer = ({ mode, sockets }) =>
    mode === 'state' && sockets === 0 ? { kind: 'gone' } : undefined;
  const other = new LossNotices({ bus, node: 'other', log: SILENT });
  return { room, bus, tell: (...losses) => other.send(new Map([[NODE, losses]])) };
}

const renewals = ({ store }: Room): number => store.calls.filter((call) => call === 'renew').length;

describe('a notice of losses', () => {
  it.each([
    ['replaced', undefined, { code: 4001, reason: 'replaced' }],
    ['logout', undefined, { code: 4000, reason: 'logout' }],
    ['kick', 'a|b: 作弊', { code: 4002, reason: 'a|b: 作弊' }],
  ] as const)(
    '[PR4] [PR6] (%s) closes the socket in the same turn, without a look at the store',
    async (...loss) => {
      const [reason, note, close] = loss;
      const { room, tell } = await begin();
      const player = await room.enter(USER);
      const before = renewals(room);
      tell({ userId: USER, rev: EVERY_REV, reason, ...(note === undefined ? {} : { note }) });
      expect(player.socket.closes).toEqual([close]);
      await room.clock.advanceAsync(10);
      expect(renewals(room)).toBe(before);
      expect(room.tracker.heldUsers).toBe(0);
      expect(room.ledger.settlements).toEqual([]);
    },
  );

  it('[PR9] that is late, or comes twice, takes nothing that was claimed after it', async () => {
    const { room, tell } = await begin();
    const player = await room.enter(USER);
    for (let time = 0; time < 2; time += 1) tell({ userId: USER, rev: 0, reason: 'logout' });
    await room.clock.advanceAsync(10);
    expect(player.socket.closes).toEqual([]);
    await room.play(player, 12_000);
    expect(await room.status(USER)).toBe('online');
  });

  it('[PR4] about a user with a claim in progress makes the node renew, because a renewal cannot overtake the answer', async () => {
    const { room, tell } = await begin();
    const admitted = room.admit(USER);
    const before = renewals(room);
    tell({ userId: USER, rev: EVERY_REV, reason: 'replaced' });
    await room.clock.advanceAsync(10);
    expect(renewals(room)).toBeGreaterThan(before);
    expect((await room.during(admitted)).ok).toBe(true);
  });

  it('[PR4] lists all losses of one node by one call, and goes to each node that lost something', () => {
    const bus = new Switchboard();
    const losses: readonly Loss[] = [
      { userId: 1, rev: 2, reason: 'replaced' },
      { userId: 3, rev: 4, reason: 'kick', note: 'x' },
    ];
    new LossNotices({ bus, node: 'a', log: SILENT }).send(
      new Map([
        ['b', losses],
        ['c', losses.slice(0, 1)],
      ]),
    );
    expect(bus.published).toEqual([
      { topic: 'lost:b', text: '{"lost":[[1,2,"replaced"],[3,4,"kick","x"]]}' },
      { topic: 'lost:c', text: '{"lost":[[1,2,"replaced"]]}' },
    ]);
  });

  it('that cannot be sent disturbs nobody', async () => {
    const { room, bus, tell } = await begin();
    const player = await room.enter(USER);
    bus.cut = true;
    tell({ userId: USER, rev: EVERY_REV, reason: 'replaced' });
    await room.clock.advanceAsync(10);
    expect(player.socket.closes).toEqual([]);
  });

  it.each([
    '',
    '7',
    'null',
    '[]',
    '{"lost":{}}',
    '{"lost":[7]}',
    `{"lost":[[${USER},"9","replaced"]]}`,
    `{"lost":[["${USER}",9,"replaced"]]}`,
    `{"lost":[[${USER},1e99,"replaced"]]}`,
    `{"lost":[[${USER},${EVERY_REV},"because"]]}`,
    `{"lost":[[${USER},${EVERY_REV},"kick",5]]}`,
    `{"lost":[[${USER},${EVERY_REV},"replaced"],[]]}`,
    `{"lost":[${`[${USER},${EVERY_REV},"replaced"],`.repeat(500)}[${USER},${EVERY_REV},"replaced"]]}`,
    `{"lost":[[${USER},${EVERY_REV},"kick","${'x'.repeat(1_048_576)}"]]}`,
  ])('case %#: a text that is no notice is logged and takes nothing', async (text) => {
    const { room, bus } = await begin();
    const player = await room.enter(USER);
    await bus.publish(`lost:${NODE}`, text);
    await room.clock.advanceAsync(10);
    expect(player.socket.closes).toEqual([]);
    expect(room.logged.filter(({ event }) => event === 'malformed-message')).toEqual([
      { event: 'malformed-message', channel: `lost:${NODE}` },
    ]);
  });

  it('that comes after the stop is ignored', async () => {
    const { room, tell } = await begin();
    const player = await room.enter(USER);
    await room.during(room.tracker.stop());
    tell({ userId: USER, rev: EVERY_REV, reason: 'replaced' });
    expect(player.socket.closes).toEqual([]);
  });

  it('cannot be heard: the node logs it and works on', async () => {
    const bus = new Switchboard();
    bus.subscribe = () => Promise.reject(new Error('NOPERM'));
    const room = await openRoom({ bus });
    expect(room.logged.filter(({ event }) => event === 'internal-error')).toHaveLength(1);
    await room.enter(USER);
    expect(await room.status(USER)).toBe('online');
  });
});
