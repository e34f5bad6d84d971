import { beforeEach, describe, expect, it } from 'vitest';
import { Inbox } from '../../../src/cluster/inbox.ts';
import { LocalDelivery } from '../../../src/cluster/local-delivery.ts';
import { ParcelReceiver } from '../../../src/cluster/parcel-receiver.ts';
import { PushRate } from '../../../src/cluster/push-rate.ts';
import { PushRouter } from '../../../src/cluster/push-router.ts';
import { RemoteDelivery } from '../../../src/cluster/remote-delivery.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { silentLog } from '../../../src/logging/log.ts';
import { GroupReceivers } from '../../../src/presence/node/group-members.ts';
import type { PushReport, PushRequest } from '../../../src/protocol/delivery.ts';
import { type Library, openLibrary } from '../connection/library.ts';
import { Switchboard } from './switchboard.ts';

interface Side {
  readonly library: Library;
  readonly router: PushRouter;
}

async function push(
  { router, library }: Side,
  request: Partial<PushRequest> & Pick<PushRequest, 'to'>,
  forMs = 10_000,
): Promise<PushReport> {
  const report = router.push({ type: 'news', dataText: '1', ...request });
  await library.clock.advanceAsync(forMs, 50);
  return report;
}

describe('[DL6] messages between nodes', () => {
  let bus: Switchboard;
  let clock: FakeClock;
  /** The newest epoch that presence has for a user here. */
  let renewed: Map<number, number>;
  /** Members on each node of the one group in these tests. */
  let members: Map<string, readonly number[]>;
  /** The answer of presence about users. */
  let located: Map<number, { status: 'online'; sockets: number; socketsElsewhere: number }>;
  let a: Side;
  let b: Side;
  beforeEach(async () => {
    bus = new Switchboard();
    clock = new FakeClock();
    renewed = new Map();
    members = new Map();
    located = new Map();
    a = await join('a');
    b = await join('b');
  });

  /** All nodes share one time. */
  async function join(node: string, mayBeOnSeveralNodes = false): Promise<Side> {
    const library = openLibrary({}, clock);
    const { manager } = library;
    const inbox = new Inbox({ bus, node, log: silentLog, counters: manager.counters });
    const delivery = new LocalDelivery(manager, new PushRate(0, clock), {
      membersHere: (groups, except) =>
        new GroupReceivers(groups.includes('g') ? [new Set(members.get(node))] : [], except),
    });
    const post = bus.postOf(node);
    let ids = 0;
    const ways = {
      post,
      inbox,
      clock,
      manager,
      delivery,
      log: silentLog,
      newId: () => `${node}${(ids += 1)}`,
    };
    new ParcelReceiver({ ...ways, sockets: { newestEpochHere: (userId) => renewed.get(userId) ?? 0 } });
    await inbox.listen();
    const presence = {
      locate: (userIds: readonly number[]) => Promise.resolve(userIds.map((userId) => located.get(userId))),
      onlineCount: () => 3,
      groupSize: () => Promise.resolve(5),
    };
    const router = new PushRouter({
      manager,
      delivery,
      presence,
      mayBeOnSeveralNodes,
      clock,
      remote: new RemoteDelivery(ways),
    });
    return { library, router };
  }

  it('are written by the node that holds the user, and counted by the sender alone', async () => {
    const { socket } = b.library.connect({ userId: 1 });
    bus.places = new Map([[1, ['b']]]);
    expect(await push(a, { to: { userId: 1 } })).toEqual({
      results: [{ userId: 1, status: 'written', connections: 1 }],
      counts: { written: 1 },
    });
    expect(socket.types).toEqual(['news']);
    expect(a.library.manager.counters.messages).toMatchObject({ written: 1, unknown: 0 });
    expect(b.library.manager.counters.messages).toMatchObject({ written: 0 });
  });

  it('are unknown after 500 ms without an answer, not sooner, and at once if the node does not listen', async () => {
    bus.places = new Map<number, readonly string[]>([
      [1, ['b']],
      [2, ['gone']],
    ]);
    const nobody = a.router.push({ to: { userId: 2 }, type: 'x', dataText: '1' });
    await a.library.clock.advanceAsync(1);
    expect((await nobody).counts).toEqual({ unknown: 1 });
    bus.lossy = true;
    let counts: unknown;
    void a.router
      .push({ to: { userId: 1 }, type: 'x', dataText: '1' })
      .then((report) => (counts = report.counts));
    await a.library.clock.advanceAsync(495, 5);
    expect(counts).toBeUndefined();
    await a.library.clock.advanceAsync(10, 5);
    expect(counts).toEqual({ unknown: 1 });
  });

  it('are unknown if the store is unreachable', async () => {
    bus.cut = true;
    expect((await push(a, { to: { userIds: [1, 2] } })).counts).toEqual({ unknown: 2 });
    expect((await push(a, { to: { all: true } })).counts).toEqual({ unknown: 3 });
  });

  it('[GR2] to groups cost one frame a node, reach each member once, and answer counts over all nodes', async () => {
    const [here, there, both] = [a.library.connect({ userId: 1 }), b.library.connect({ userId: 2 }), 3];
    b.library.connect({ userId: 4 });
    members.set('a', [1, both]).set('b', [2, both, 4, 5]);
    // One member lingers, and one has left meanwhile.
    located.set(both, { status: 'online', sockets: 0, socketsElsewhere: 0 });
    const { results, counts } = await push(a, { to: { groups: ['g', 'other', 'g'], except: [4] } });
    expect(results).toBeUndefined();
    expect(counts).toEqual({ written: 2, offline: 1 });
    expect([here.socket.types, there.socket.types]).toEqual([['news'], ['news']]);
    expect(bus.published.filter(({ topic }) => topic === 'node:b')).toHaveLength(1);
    expect(bus.published.map(({ text }) => text).join()).not.toContain('"all"');
    expect(a.library.manager.counters.messages).toMatchObject({ written: 1, offline: 1, unknown: 0 });
    expect(b.library.manager.counters.messages).toMatchObject({ written: 1, offline: 0 });
  });

  it('[GR2] a member with sockets elsewhere does not also count as offline', async () => {
    b.library.connect({ userId: 1 });
    members.set('a', [1]).set('b', [1]);
    located.set(1, { status: 'online', sockets: 1, socketsElsewhere: 1 });
    expect((await push(a, { to: { groups: ['g'] } })).counts).toEqual({ written: 1 });
  });

  it('[GR2] if a node does not answer, all members that it may hold are unknown', async () => {
    a.library.connect({ userId: 1 });
    members.set('a', [1]);
    bus.lossy = true;
    bus.held = 3;
    expect((await push(a, { to: { groups: ['g'] } }, 600)).counts).toEqual({ written: 1, unknown: 3 });
    bus.held = 100;
    expect((await push(a, { to: { groups: ['g'] } }, 600)).counts).toEqual({ written: 1, unknown: 4 });
    bus.cut = true;
    expect((await push(a, { to: { groups: ['g'] } }, 600)).counts).toEqual({ written: 1, unknown: 2 });
    expect(a.library.manager.counters.messages.unknown).toBe(9);
  });

  it('[GR2] members acknowledge, on both nodes', async () => {
    for (const [side, userId] of [
      [a, 1],
      [b, 2],
    ] as const) {
      const { socket } = side.library.connect({ userId, protocol: 'lingxi.v1' });
      side.library.clock.after(50, () => {
        socket.hear({ type: 'ack', id: socket.envelopes.at(-1)?.id });
      });
    }
    members.set('a', [1]).set('b', [2]);
    expect((await push(a, { to: { groups: ['g'] }, ack: true })).counts).toEqual({ acked: 2 });
  });

  it('[scenario 44] are unknown if the socket has closed meanwhile: the node never forwards them', async () => {
    bus.places = new Map([[1, ['b']]]);
    expect((await push(a, { to: { userId: 1 } })).results).toEqual([
      { userId: 1, status: 'unknown', connections: 0 },
    ]);
    expect(bus.published.filter(({ topic }) => topic === 'node:a')).toHaveLength(1);
    expect(bus.published.filter(({ topic }) => topic === 'node:b')).toHaveLength(1);
  });

  it('[PR9] reach a socket that connected anew, even if its connection has an older epoch', async () => {
    const { socket } = b.library.connect({ userId: 1, epoch: 5 });
    const tell = bus.postOf('a').tell;
    renewed.set(1, 9);
    await tell('b', '"id":"x","users":[[1,9]],"kind":"parcel","type":"here","data":1');
    await a.library.clock.advanceAsync(10);
    expect(socket.types).toEqual(['here']);
  });

  it('are not given to a socket that is older than the one the store knows of', async () => {
    const { socket } = b.library.connect({ userId: 1 });
    await bus
      .postOf('a')
      .tell('b', '"id":"x","users":[[1,9007199254740991]],"kind":"parcel","type":"late","data":1');
    await a.library.clock.advanceAsync(10);
    expect(socket.types).toEqual([]);
    expect(bus.published.at(-1)?.text).toContain('[1,"unknown",0]');
  });

  it('are acked if the client on the other node acknowledges in time, else written', async () => {
    const [says, silent] = [1, 2].map((userId) =>
      b.library.connect({ userId, protocol: 'lingxi.v1' as const }),
    );
    bus.places = new Map([
      [1, ['b']],
      [2, ['b']],
    ]);
    const report = a.router.push({
      to: { userIds: [1, 2] },
      type: 'ask',
      dataText: '1',
      ack: true,
      timeoutMs: 3000,
    });
    await a.library.clock.advanceAsync(600, 50);
    says?.socket.hear({ type: 'ack', id: says.socket.envelopes.at(-1)?.id });
    expect(silent?.socket.types.at(-1)).toBe('ask');
    await a.library.clock.advanceAsync(4000, 50);
    expect((await report).results?.map(({ status }) => status)).toEqual(['acked', 'written']);
  });

  it('reach all sockets of a user under multi on both nodes, and return the better outcome', async () => {
    const c = await join('c', true);
    c.library.connect({ userId: 1 });
    b.library.connect({ userId: 1 });
    bus.places = new Map([[1, ['b']]]);
    expect((await push(c, { to: { userId: 1 } })).results).toEqual([
      { userId: 1, status: 'written', connections: 2 },
    ]);
  });

  it('[DL5] to all are counted over all nodes, each node counting its own', async () => {
    for (const userId of [1, 2]) a.library.connect({ userId });
    for (const userId of [3, 4, 5]) b.library.connect({ userId });
    expect(await push(a, { to: { all: true } })).toEqual({ counts: { written: 5 } });
    expect(a.library.manager.counters.messages.written).toBe(2);
    expect(b.library.manager.counters.messages.written).toBe(3);
  });

  it('[DL4] keep their order, whatever their size', async () => {
    const { socket } = b.library.connect({ userId: 1 });
    bus.places = new Map([[1, ['b']]]);
    const many = Array.from({ length: 1500 }, (_, user) => user);
    const big = JSON.stringify('x'.repeat(200_000));
    const reports = [
      a.router.push({ to: { userIds: many }, type: 'list', dataText: '1' }),
      a.router.push({ to: { userId: 1 }, type: 'big', dataText: big }),
      a.router.push({ to: { userId: 1 }, type: 'small', dataText: '1' }),
    ];
    await a.library.clock.advanceAsync(1000, 10);
    await Promise.all(reports);
    expect(socket.types).toEqual(['list', 'big', 'small']);
  });

  it('[DL7] over the limit of a frame are dropped with queue-full, and never sent', async () => {
    bus.places = new Map([[1, ['b']]]);
    const report = await push(a, { to: { userId: 1 }, dataText: JSON.stringify('é'.repeat(500_000)) });
    expect(report.results).toEqual([{ userId: 1, status: 'dropped', connections: 0, reason: 'queue-full' }]);
    expect(bus.published).toEqual([]);
  });

  it('[DL3] carry their remaining time, and are not sent after it', async () => {
    const { socket } = b.library.connect({ userId: 1 });
    bus.places = new Map([[1, ['b']]]);
    const living = a.router.push({ to: { userId: 1 }, type: 'living', dataText: '1', ttlMs: 1000 });
    const dead = a.router.push({ to: { userId: 1 }, type: 'dead', dataText: '1', ttlMs: 300 });
    const all = a.router.push({ to: { all: true }, type: 'dead', dataText: '1', ttlMs: 300 });
    clock.stall(400);
    await clock.advanceAsync(1000, 50);
    expect((await living).counts).toEqual({ written: 1 });
    expect((await dead).results).toEqual([{ userId: 1, status: 'dropped', connections: 0, reason: 'ttl' }]);
    expect((await all).counts).toEqual({ dropped: 3 });
    expect(socket.types).toEqual(['living']);
    expect(bus.published.map(({ text }) => /"ttlMs":(\d+)/.exec(text)?.[1]).filter(Boolean)).toEqual(['600']);
    expect(bus.published.filter(({ topic }) => topic === 'node:b')).toHaveLength(1);
    expect(a.library.manager.counters.dropped.ttl).toBe(4);
  });

  it('[DL3] that waited while their node stood still are dropped as ttl', async () => {
    const { socket } = b.library.connect({ userId: 1 });
    const post = bus.postOf('a');
    clock.stall(2000);
    for (const ttlMs of [1000, 5000])
      await post.tell(
        'b',
        `"id":"x","users":[[1,0]],"kind":"parcel","type":"t${ttlMs}","data":1,"ttlMs":${ttlMs}`,
      );
    await clock.advanceAsync(10);
    expect(socket.types).toEqual(['t5000']);
  });

  it.each(['"ttlMs":0', '"ttlMs":"1"', '"ttlMs":86400001', '"key":""', '"key":1', '"priority":"urgent"'])(
    'with a wrong option are ignored: %s',
    async (option) => {
      const { socket } = b.library.connect({ userId: 1 });
      const tell = bus.postOf('a').tell;
      await tell('b', `"id":"x","users":[[1,0]],"kind":"parcel","type":"t","data":1,${option}`);
      await clock.advanceAsync(10);
      expect(socket.types).toEqual([]);
    },
  );

  it('late answers, and answers of a wrong shape, change nothing', async () => {
    const { postOf } = bus;
    const post = postOf.call(bus, 'b');
    const wrong = [
      '1',
      '[1]',
      '[{"id":1}]',
      '[{"id":"x","out":[[1,"bad",0]]}]',
      '[{"id":"x","counts":{"a":1}}]',
    ];
    for (const of of [...wrong, '[{"id":"late","out":[[1,"written",1]]}]'])
      await post.tell('a', `"kind":"outcomes","of":${of}`);
    b.library.connect({ userId: 1 });
    bus.places = new Map([[1, ['b']]]);
    expect((await push(a, { to: { userId: 1 } })).counts).toEqual({ written: 1 });
  });
});
