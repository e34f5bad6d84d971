import { beforeEach, describe, expect, it } from 'vitest';
import { LocalDelivery } from '../../../src/cluster/local-delivery.ts';
import { PushRate } from '../../../src/cluster/push-rate.ts';
import { PushRouter } from '../../../src/cluster/push-router.ts';
import { GroupReceivers } from '../../../src/presence/node/group-members.ts';
import type { PushReport, PushRequest } from '../../../src/protocol/delivery.ts';
import { type Library, openLibrary } from '../connection/library.ts';

type Known = { readonly status: 'online' | 'offline'; readonly socketsElsewhere: number };

/** Users of these tests have sockets on other nodes, or none. */
function shown(user: Known | undefined) {
  return user === undefined ? undefined : { ...user, sockets: user.socketsElsewhere };
}

describe('PushRouter on one node', () => {
  let library: Library;
  let known: Map<number, Known>;
  let unreachable: boolean;
  beforeEach(() => {
    library = openLibrary({ dispatchQueue: 2 });
    known = new Map();
    unreachable = false;
  });

  function router(options: { readonly perSecond?: number } = {}): PushRouter {
    const presence = {
      onlineCount: () => 0,
      groupSize: () => Promise.resolve(0),
      locate: (userIds: readonly number[]) =>
        unreachable
          ? Promise.reject(new Error('down'))
          : Promise.resolve(userIds.map((userId) => shown(known.get(userId)))),
    };
    const rate = new PushRate(options.perSecond ?? 0, library.clock);
    const { manager } = library;
    const delivery = new LocalDelivery(manager, rate, {
      membersHere: () => new GroupReceivers([], new Set()),
    });
    return new PushRouter({ clock: library.clock, manager, delivery, presence, mayBeOnSeveralNodes: false });
  }
  async function push(
    to: PushRouter,
    request: Partial<PushRequest> & Pick<PushRequest, 'to'>,
  ): Promise<PushReport> {
    const report = to.push({ type: 'news', dataText: '1', ...request });
    await library.clock.advanceAsync(10_000, 100);
    return report;
  }

  it('[DL1] returns the outcome of each: written, offline, online without a socket, on another node', async () => {
    library.connect({ userId: 1 });
    known.set(3, { status: 'online', socketsElsewhere: 0 });
    known.set(4, { status: 'online', socketsElsewhere: 2 });
    known.set(5, { status: 'offline', socketsElsewhere: 0 });
    expect(await push(router(), { to: { userIds: [1, 2, 3, 4, 5] } })).toEqual({
      results: [
        { userId: 1, status: 'written', connections: 1 },
        { userId: 2, status: 'offline', connections: 0 },
        { userId: 3, status: 'offline', connections: 0, reason: 'no-connection' },
        { userId: 4, status: 'unknown', connections: 0 },
        { userId: 5, status: 'offline', connections: 0 },
      ],
      counts: { written: 1, offline: 3, unknown: 1 },
    });
  });

  it.each([2, 64, 65, 500])(
    'a user named %i times gets one message, one result and one count',
    async (times) => {
      const { socket } = library.connect({ userId: 1 });
      const userIds = [2, ...new Array<number>(times).fill(1), 2];
      expect(await push(router({ perSecond: 1 }), { to: { userIds } })).toEqual({
        results: [
          { userId: 2, status: 'offline', connections: 0 },
          { userId: 1, status: 'written', connections: 1 },
        ],
        counts: { offline: 1, written: 1 },
      });
      expect(socket.types).toEqual(['news']);
      expect(library.manager.counters.messages).toMatchObject({ written: 1, offline: 1, dropped: 0 });
    },
  );

  it('[DL6] no user is reported offline while presence does not answer', async () => {
    unreachable = true;
    expect((await push(router(), { to: { userId: 2 } })).counts).toEqual({ unknown: 1 });
  });

  it('[DL4] pushes keep their order, however long each one waits', async () => {
    const { socket } = library.connect({ userId: 1 });
    const to = router();
    const many = Array.from({ length: 200 }, (_, index) => index);
    const reports = [
      to.push({ to: { all: true }, type: 'a', dataText: 'null' }),
      to.push({ to: { userIds: many }, type: 'b', dataText: 'null' }),
      to.push({ to: { userId: 1 }, type: 'c', dataText: 'null' }),
    ];
    await library.clock.advanceAsync(100);
    await Promise.all(reports);
    expect(socket.types).toEqual(['a', 'b', 'c']);
  });

  it('[DL3] a full dispatch queue is reported and counted, for lists and for all', async () => {
    library.connect({ userId: 1 });
    const to = router();
    for (let count = 0; count < 2; count += 1) void library.manager.broadcast('x', null);
    const all = to.push({ to: { all: true }, type: 'a', dataText: 'null' });
    const list = to.push({
      to: { userIds: Array.from({ length: 100 }, (_, id) => id) },
      type: 'b',
      dataText: 'null',
    });
    await library.clock.advanceAsync(100);
    expect((await all).counts).toEqual({ dropped: 1 });
    expect((await list).counts).toEqual({ dropped: 100 });
    expect(library.manager.counters.dropped['dispatch-full']).toBe(101);
  });

  it('[DL3] over the rate a user gets no message until the next second', async () => {
    library.connect({ userId: 1 });
    const to = router({ perSecond: 2 });
    const statuses = async () => {
      const reports = [1, 2, 3].map(() => to.push({ to: { userId: 1 }, type: 'x', dataText: 'null' }));
      await library.clock.advanceAsync(1);
      return (await Promise.all(reports)).map(({ results }) => results?.[0]?.reason ?? results?.[0]?.status);
    };
    expect(await statuses()).toEqual(['written', 'written', 'rate']);
    await library.clock.advanceAsync(1000);
    expect(await statuses()).toEqual(['written', 'written', 'rate']);
    expect(library.manager.counters.dropped.rate).toBe(2);
  });

  describe('acknowledgements', () => {
    it('acked if the client acknowledges, written if it does not in time or cannot', async () => {
      const [says, silent] = [
        library.connect({ userId: 1, protocol: 'lingxi.v1' }),
        library.connect({ userId: 2, protocol: 'lingxi.v1' }),
      ];
      library.connect({ userId: 3 });
      const report = router().push({
        to: { userIds: [1, 2, 3] },
        type: 'x',
        dataText: 'null',
        ack: true,
        timeoutMs: 500,
      });
      says.socket.hear({ type: 'ack', id: says.socket.envelopes.at(-1)?.id });
      expect(silent.socket.envelopes.at(-1)?.id).toEqual(expect.any(String));
      await library.clock.advanceAsync(500);
      expect((await report).results?.map(({ status }) => status)).toEqual(['acked', 'written', 'written']);
    });

    it('a user named twice does not delay the answer forever', async () => {
      library.connect({ userId: 1, protocol: 'lingxi.v1' });
      const report = await push(router(), { to: { userIds: [1, 1] }, ack: true, timeoutMs: 500 });
      expect(report.results?.map(({ status }) => status)).toEqual(['written']);
    });
  });
});
