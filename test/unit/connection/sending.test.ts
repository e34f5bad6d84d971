import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { OverflowPolicy } from '../../../src/connection/send-queue.ts';
import type { FakeSocket } from '../../support/fake-socket.ts';
import { type Library, losses, openLibrary, PING } from './library.ts';

const POLICIES: readonly OverflowPolicy[] = ['drop-newest', 'drop-oldest', 'conflate', 'disconnect'];

function bounded(policy: OverflowPolicy, limits: { messages?: number; bytes?: number } = {}): Library {
  return openLibrary({ sendQueue: { messages: 3, bytes: 100_000, ...limits, policy } });
}

/** Ms until the server closed the socket of a client that still sends heartbeats each second. */
function closedAfter({ clock }: Library, socket: FakeSocket): number {
  let passed = 0;
  for (; socket.code === undefined && passed < 60_000; passed += 100) {
    if (passed % 1000 === 0) socket.hear(PING);
    clock.advance(100);
  }
  return passed;
}

/** Sends messages with these numbers; returns their outcomes. */
function sendEach(
  { manager }: Library,
  names: readonly number[],
  type = (name: number) => `m${name}`,
): string[] {
  return names.map((name) => {
    const { status, reason } = manager.sendToUser(7, type(name), name);
    return reason === undefined ? status : `${status} ${reason}`;
  });
}

const received = (socket: FakeSocket): unknown[] => socket.envelopes.map(({ data }) => data);

describe('sending to a slow socket', () => {
  it('[DL1] returns written, then queued, then the reason of a drop', () => {
    const library = bounded('drop-newest');
    const { socket } = library.connect();
    socket.block(1);
    expect(sendEach(library, [1, 2, 3, 4, 5, 6, 7])).toEqual([
      'written',
      ...['queued', 'queued', 'queued', 'queued'],
      ...['dropped queue-full', 'dropped queue-full'],
    ]);
    expect(library.manager.counters.messages).toMatchObject({ written: 1, queued: 4, dropped: 2 });
    expect(library.manager.counters.dropped['queue-full']).toBe(2);
  });

  it('[DL4] flushes in order once the socket accepts more, also in several parts', () => {
    const library = openLibrary();
    const { socket } = library.connect();
    socket.block();
    sendEach(library, [1, 2, 3, 4, 5, 6]);
    socket.drain(2);
    sendEach(library, [7]);
    expect(received(socket)).toEqual([1, 2, 3, 4]);
    socket.drain(1);
    expect(received(socket)).toEqual([1, 2, 3, 4, 5, 6]);
    socket.drain();
    expect(sendEach(library, [8])).toEqual(['written']);
    expect(received(socket)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(library.manager.queuedMessages()).toBe(0);
  });

  it('[DL3] drop-newest keeps the waiting messages', () => {
    const library = bounded('drop-newest');
    const { socket } = library.connect();
    socket.block();
    sendEach(library, [0, 1, 2, 3, 4, 5]);
    socket.drain();
    expect(received(socket)).toEqual([0, 1, 2, 3]);
  });

  it('[DL3] drop-oldest keeps the newest messages, and counts the dropped ones', () => {
    const library = bounded('drop-oldest');
    const { socket } = library.connect();
    socket.block();
    expect(sendEach(library, [0, 1, 2, 3, 4, 5])).toEqual(Array.from({ length: 6 }, () => 'queued'));
    socket.drain();
    expect(received(socket)).toEqual([0, 3, 4, 5]);
    expect(library.manager.counters.dropped['queue-full']).toBe(2);
  });

  it('[DL3] conflate replaces the older message of a type by the newest', () => {
    const library = bounded('conflate');
    const { socket } = library.connect();
    socket.block();
    const type = (name: number) => (name % 2 === 0 ? 'even' : 'odd');
    sendEach(library, [100, 1, 2, 3, 4, 5], type);
    expect(library.manager.sendToUser(7, 'other', 9)).toMatchObject({
      status: 'dropped',
      reason: 'queue-full',
    });
    socket.drain();
    expect(received(socket)).toEqual([100, 3, 4, 5]);
    expect(library.manager.counters.dropped['queue-full']).toBe(3);
  });

  it('[DL3] disconnect closes with 4101 and counts the waiting messages', () => {
    const library = bounded('disconnect');
    const { socket } = library.connect();
    socket.block();
    expect(sendEach(library, [0, 1, 2, 3, 4, 5])).toEqual([
      ...['queued', 'queued', 'queued', 'queued'],
      ...['dropped queue-full', 'offline'],
    ]);
    expect(socket.closes).toEqual([{ code: 4101, reason: 'slow-consumer' }]);
    expect(library.manager.counters.dropped).toMatchObject({ 'queue-full': 1, closed: 3 });
  });

  it.each(POLICIES)('[DL3] %s keeps within the bytes, counted as UTF-8', (policy) => {
    const library = bounded(policy, { messages: 1000, bytes: 2000 });
    const { connection, socket } = library.connect();
    socket.block();
    library.manager.sendToUser(7, 'first', null);
    for (let count = 0; count < 40; count += 1) {
      library.manager.sendToUser(7, 'news', '灵'.repeat(100));
      expect(connection.info().queueBytes - socket.bufferedBytes()).toBeLessThanOrEqual(2000);
    }
    expect(losses(library.manager)).toBeGreaterThan(policy === 'disconnect' ? 5 : 30);
  });

  it('[DL3] sent messages make room again, in messages and in bytes', () => {
    const library = bounded('drop-newest', { messages: 4, bytes: 1000 });
    const { connection, socket } = library.connect();
    socket.block();
    for (let round = 0; round < 10; round += 1) {
      for (let count = 0; count < 6; count += 1) library.manager.sendToUser(7, 'm', 'x'.repeat(200));
      expect(connection.info().queue).toBe(3);
      socket.drain(1);
      expect(connection.info().queue).toBe(1);
      expect(connection.info().queueBytes - socket.bufferedBytes()).toBeLessThan(300);
      socket.block();
    }
  });

  it.each(POLICIES)('[DL3] %s never accepts a message larger than the whole queue', (policy) => {
    const library = bounded(policy, { bytes: 500 });
    const { socket } = library.connect();
    socket.block();
    library.manager.sendToUser(7, 'first', 'socket');
    library.manager.sendToUser(7, 'small', 'waits');
    expect(library.manager.sendToUser(7, 'large', 'x'.repeat(600))).toMatchObject({
      status: 'dropped',
      reason: 'queue-full',
    });
    if (policy !== 'disconnect') expect(library.manager.queuedMessages()).toBe(1);
  });

  it('[DL3] a receiver that accepts nothing for the write timeout is closed with 4101, another is not', () => {
    const library = openLibrary({ writeTimeoutMs: 4000 });
    const [stuck, slow] = [library.connect({ userId: 1 }), library.connect({ userId: 2 })];
    for (const { socket } of [stuck, slow]) socket.block();
    for (const userId of [1, 2])
      for (const n of [1, 2, 3, 4, 5, 6]) library.manager.sendToUser(userId, 'm', n);
    for (let ms = 0; ms < 4100; ms += 100) {
      if (ms === 3900) expect(stuck.socket.code).toBeUndefined();
      if (ms % 2000 === 0) slow.socket.drain(0);
      library.clock.advance(100);
    }
    expect(stuck.socket.closes).toEqual([{ code: 4101, reason: 'slow-consumer' }]);
    expect(slow.socket.code).toBeUndefined();
    expect(library.manager.counters.dropped.closed).toBe(5);
  });

  it('[DL3] any progress within one large frame counts, however small', () => {
    const library = openLibrary({ writeTimeoutMs: 4000 });
    const { socket } = library.connect();
    socket.block();
    library.manager.sendToUser(7, 'm', 'x'.repeat(100_000));
    for (let second = 0; second < 60; second += 1) {
      library.clock.advance(1000);
      socket.take(1);
      socket.hear(PING);
    }
    expect(socket.code).toBeUndefined();
    const passed = closedAfter(library, socket);
    expect(passed).toBeGreaterThanOrEqual(3500);
    expect(passed).toBeLessThanOrEqual(4600);
    expect(socket.closes).toEqual([{ code: 4101, reason: 'slow-consumer' }]);
  });

  it('[DL3] messages queued behind a stuck frame are no progress', () => {
    const library = openLibrary({ writeTimeoutMs: 4000 });
    const { socket } = library.connect();
    socket.block();
    library.manager.sendToUser(7, 'm', 1);
    for (let ms = 0; ms < 4100; ms += 100) {
      // Like a runtime that answers pings by itself.
      socket.take(-10);
      library.clock.advance(100);
    }
    expect(socket.closes).toEqual([{ code: 4101, reason: 'slow-consumer' }]);
  });

  it('[DL3] a slow receiver delays no other user', () => {
    const library = openLibrary();
    const [slow, quick] = [library.connect({ userId: 1 }), library.connect({ userId: 2 })];
    slow.socket.block();
    for (let n = 0; n < 500; n += 1) {
      library.manager.sendToUser(1, 'm', n);
      expect(library.manager.sendToUser(2, 'm', n).status).toBe('written');
    }
    expect(quick.socket.frames).toHaveLength(500);
  });

  it('[DL3] a failed write closes the socket, and its message is dropped: closed', () => {
    const library = openLibrary();
    const { socket } = library.connect();
    socket.broken = true;
    expect(library.manager.sendToUser(7, 'm', 1)).toEqual({
      userId: 7,
      status: 'dropped',
      connections: 0,
      reason: 'closed',
    });
    expect(socket.closes).toEqual([{ code: 1011, reason: 'transport-error' }]);
    expect(library.manager.isUserOnline(7)).toBe(false);
    expect(library.manager.counters.dropped.closed).toBe(1);
  });

  it('[DL3] a write that fails during a flush loses no message without a count', () => {
    const library = openLibrary();
    const { socket } = library.connect();
    socket.block();
    sendEach(library, [1, 2, 3, 4]);
    socket.broken = true;
    socket.drain();
    expect(library.manager.counters.dropped.closed).toBe(3);
    expect(library.manager.isUserOnline(7)).toBe(false);
  });

  it('logs one line a second for a client that loses a thousand messages', () => {
    const lines: unknown[] = [];
    const none = (): void => undefined;
    const library = openLibrary({
      log: { debug: none, info: none, error: none, warn: (fields) => lines.push(fields) },
      sendQueue: { messages: 1, bytes: 1000, policy: 'drop-newest' },
    });
    const { socket } = library.connect();
    socket.block();
    for (let count = 0; count < 1000; count += 1) library.manager.sendToUser(7, 'm', count);
    library.clock.advance(1000);
    library.manager.sendToUser(7, 'm', 1000);
    expect(lines).toEqual([
      { event: 'message-dropped', userId: 7, connectionId: 'c1', cause: 'queue-full', count: 1 },
      { event: 'message-dropped', userId: 7, connectionId: 'c1', cause: 'queue-full', count: 998 },
    ]);
  });

  it('[DL3] no message vanishes without a count, whatever the socket does', () => {
    const command = fc.oneof(
      {
        weight: 12,
        arbitrary: fc.record({
          do: fc.constant('send' as const),
          kind: fc.nat(3),
          bytes: fc.integer({ min: 0, max: 300 }),
        }),
      },
      { weight: 2, arbitrary: fc.constant({ do: 'break' as const }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('block' as const), room: fc.nat(3) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('drain' as const), room: fc.nat(6) }) },
      {
        weight: 2,
        arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 4000 }) }),
      },
      {
        weight: 1,
        arbitrary: fc.constantFrom({ do: 'end' as const }, { do: 'kick' as const }),
      },
    );
    const scenario = fc.record({
      policy: fc.constantFrom(...POLICIES),
      messages: fc.integer({ min: 1, max: 6 }),
      bytes: fc.integer({ min: 100, max: 1500 }),
      commands: fc.array(command, { maxLength: 80 }),
    });
    fc.assert(
      fc.property(scenario, ({ policy, messages, bytes, commands }) => {
        const library = openLibrary({ sendQueue: { policy, messages, bytes } });
        const { manager, clock } = library;
        let socket = library.connect().socket;
        let [sent, handedOver, announced, told, toldDropped] = [0, 0, 0, 0, 0];
        manager.on('dropped', ({ count }) => {
          announced += count;
        });
        for (const step of commands) {
          if (!manager.isUserOnline(7)) {
            handedOver += socket.frames.length;
            socket = library.connect().socket;
          }
          if (step.do === 'send') {
            sent += 1;
            // Only the sender learns that the socket was gone.
            const { status, reason } = manager.sendToUser(7, `k${step.kind}`, 'x'.repeat(step.bytes));
            if (status === 'dropped') toldDropped += 1;
            if (reason === 'closed') told += 1;
          } else if (step.do === 'block') socket.block(step.room);
          else if (step.do === 'drain') socket.drain(step.room);
          else if (step.do === 'wait') clock.advance(step.ms);
          else if (step.do === 'break') socket.broken = true;
          else if (step.do === 'end') socket.end(1006);
          else manager.closeUser(7, 'kick');
          socket.hear(PING);
        }
        handedOver += socket.frames.length;
        const { written, queued, dropped, offline } = manager.counters.messages;
        expect(written + queued + toldDropped + offline).toBe(sent);
        // A message with the answer `queued` that is lost later counts as dropped too.
        expect(dropped).toBe(losses(manager));
        expect(handedOver + manager.queuedMessages() + losses(manager) + offline).toBe(sent);
        expect(announced + told).toBe(losses(manager));
      }),
      { numRuns: 300 },
    );
  });
});
