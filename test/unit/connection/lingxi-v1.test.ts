import { describe, expect, it } from 'vitest';
import type { ClientConnection, ManagerObserver } from '../../../src/index.ts';
import { openLibrary } from './library.ts';

const V1 = { protocol: 'lingxi.v1' } as const;

describe('lingxi.v1 on a connection', () => {
  it('welcome is the first frame and has the identity of the connection', () => {
    const { connect, manager } = openLibrary({ node: 'n1', pingIntervalMs: 2500 });
    const { socket } = connect({ ...V1, epoch: 1_767_225_600_123, period: 1_767_225_600_001, resumed: true });
    manager.sendToUser(7, 'x', null);
    expect(socket.envelopes[0]).toEqual({
      type: 'welcome',
      userId: 7,
      timestamp: 1_767_225_600,
      data: {
        connectionId: 'c1',
        epoch: '1767225600123',
        period: '1767225600001',
        resumed: true,
        heartbeatTimeoutMs: 10_000,
        pingIntervalMs: 2500,
        node: 'n1',
      },
    });
    expect(socket.types).toEqual(['welcome', 'x']);
  });

  it('a client without lingxi.v1 gets no frame that nobody sent to it', () => {
    const { connect, clock } = openLibrary();
    const { socket } = connect();
    socket.hear('{"type":"ping","timestamp":1}');
    socket.hear({ type: 'ping' });
    clock.advance(20_000);
    expect(socket.code).toBe(4100);
    expect(socket.frames).toEqual([]);
  });

  it.each([
    ['milliseconds', '{"type":"ping","timestamp":1767225600000}', '{"timestamp":1767225600000}'],
    [
      'more digits than a number holds',
      '{"type":"ping","timestamp":12345678901234567890123}',
      '{"timestamp":12345678901234567890123}',
    ],
    ['zero', '{"type":"ping","timestamp":0}', '{"timestamp":0}'],
    ['nothing', '{"type":"ping"}', '{}'],
    ['a string', '{"type":"ping","timestamp":"2026-01-01 \\"x\\""}', '{"timestamp":"2026-01-01 \\"x\\""}'],
    ['a fraction and a sign', '{"timestamp":-1.5,"type":"ping"}', '{"timestamp":-1.5}'],
    ['null', '{"type":"ping","timestamp":null}', '{"timestamp":null}'],
    ['an object', '{"type":"ping","timestamp":{"a":[1]}}', '{"timestamp":{"a":[1]}}'],
    ['another order and spaces', '{ "data": 1, "timestamp": 42, "type": "ping" }', '{"timestamp":42}'],
  ])('pong returns %s', (_name, ping, data) => {
    const { connect } = openLibrary();
    const { socket } = connect(V1);
    socket.hear(ping);
    expect(socket.frames.at(-1)).toBe(`{"type":"pong","userId":7,"timestamp":1767225600,"data":${data}}`);
  });

  it.each([
    '{"type":"ping","timestamp":01}',
    '{"type":"ping","timestamp":1}}',
    '{"type":"ping","timestamp":}',
  ])('a text that only looks like a ping is malformed: %s', (text) => {
    const { connect, manager } = openLibrary();
    const { socket } = connect(V1);
    socket.hear(text);
    expect(socket.types).toEqual(['welcome']);
    expect(manager.counters).toMatchObject({ heartbeats: 0, malformedMessages: 1 });
  });

  it.each([
    ['heartbeat-timeout', 4100],
    ['read-timeout', 4100],
    ['slow-consumer', 4101],
    ['presence-lost', 4102],
    ['shutdown', 1012],
  ] as const)('goodbye comes before a close by %s (%d)', (cause, code) => {
    const { connect } = openLibrary();
    const { connection, socket } = connect(V1);
    connection.close(cause, 250);
    expect(socket.envelopes.at(-1)).toMatchObject({
      type: 'goodbye',
      data: { code, reason: cause, reconnectAfterMs: 250 },
    });
    expect(socket.code).toBe(code);
  });

  it.each([
    ['replaced', 4001],
    ['logout', 4000],
    ['kick', 4002],
    ['token-expired', 4003],
    ['policy-violation', 1008],
    ['client-closed', 1000],
    ['transport-error', 1011],
  ] as const)('no goodbye before a close by %s (%d)', (cause, code) => {
    const { connect } = openLibrary();
    const { connection, socket } = connect(V1);
    connection.close(cause);
    expect(socket.types).toEqual(['welcome']);
    expect(socket.code).toBe(code);
  });

  it('no goodbye is queued behind a socket that accepts nothing, because it would count as a lost message', () => {
    const { connect, manager } = openLibrary();
    const { connection, socket } = connect(V1);
    socket.block();
    manager.sendToUser(7, 'x', null);
    connection.close('slow-consumer');
    expect(socket.types).toEqual(['welcome', 'x']);
    expect(manager.counters.dropped.closed).toBe(0);
  });

  it('state is shown, and any value but active and background is refused', () => {
    const { connect } = openLibrary();
    const { connection, socket } = connect(V1);
    socket.hear({ type: 'state', data: { value: 'background' } });
    expect(connection.info().state).toBe('background');
    for (const data of [{ value: 'asleep' }, null, 'background', [], undefined])
      socket.hear({ type: 'state', data });
    expect(connection.info().state).toBe('background');
    expect(socket.types).toEqual(['welcome', ...Array.from({ length: 5 }, () => 'error')]);
    expect(socket.envelopes[1]).toMatchObject({ data: { about: 'state', code: 'invalid-body' } });
  });

  it('logout closes with 4000 without presence', () => {
    const { connect } = openLibrary();
    const { socket } = connect(V1);
    socket.hear({ type: 'logout' });
    expect(socket.closes).toEqual([{ code: 4000, reason: 'logout' }]);
  });

  it('logout and token go to the observer', () => {
    const asked: string[] = [];
    const observer: ManagerObserver = {
      registered: () => undefined,
      ended: () => undefined,
      logoutRequested: ({ userId }: ClientConnection) => asked.push(`logout ${userId}`),
      tokenOffered: ({ userId }: ClientConnection, token) => asked.push(`token ${userId} ${token}`),
    };
    const { connect } = openLibrary({ observer });
    const { connection, socket } = connect(V1);
    socket.hear({ type: 'token', data: { token: 'abc' } });
    socket.hear({ type: 'token', data: { token: 5 } });
    socket.hear({ type: 'logout' });
    expect(asked).toEqual(['token 7 abc', 'logout 7']);
    expect(socket.code).toBeUndefined();
    connection.renewToken(1_767_225_700_000);
    connection.refuse('token', 'invalid-token');
    expect(socket.envelopes.slice(1)).toMatchObject([
      { type: 'error', data: { about: 'token', code: 'invalid-body' } },
      { type: 'token', data: { expiresAt: 1_767_225_700_000 } },
      { type: 'error', data: { about: 'token', code: 'invalid-token' } },
    ]);
  });

  describe('ack', () => {
    it('resolves with the user by the id of the push, and not for another user', async () => {
      const { connect, manager, clock } = openLibrary();
      const [asked, other] = [connect(V1), connect({ ...V1, userId: 8 })];
      const message = manager.prepare('offer', 1, { ack: true });
      const acknowledged = manager.acknowledged(message, { userIds: [7], timeoutMs: 1000 }).acked;
      let outcome: ReadonlySet<number> | 'still pending' = 'still pending';
      void acknowledged.then((acked) => {
        outcome = acked;
      });
      manager.deliverTo(7, message);
      const { id } = asked.socket.envelopes.at(-1) ?? {};
      expect(id).toEqual(expect.any(String));
      other.socket.hear({ type: 'ack', id });
      asked.socket.hear({ type: 'ack', id: 5 });
      asked.socket.hear({ type: 'ack', id: 'another' });
      await clock.advanceAsync(500);
      expect(outcome).toBe('still pending');
      asked.socket.hear({ type: 'ack', id });
      asked.socket.hear({ type: 'ack', id });
      expect(await acknowledged).toEqual(new Set([7]));
    });

    it('resolves without a user after the timeout, and a late ack is ignored', async () => {
      const { connect, manager, clock } = openLibrary();
      const { socket } = connect(V1);
      const message = manager.prepare('offer', 1, { ack: true });
      const acknowledged = manager.acknowledged(message, { userIds: [7], timeoutMs: 1000 }).acked;
      manager.deliverTo(7, message);
      clock.advance(1000);
      expect(await acknowledged).toEqual(new Set());
      socket.hear({ type: 'ack', id: socket.envelopes.at(-1)?.id });
    });

    it('two waits for one message both end', async () => {
      const { manager, clock } = openLibrary();
      const message = manager.prepare('offer', 1, { ack: true });
      const waits = [1, 2].map(() => manager.acknowledged(message, { userIds: [7], timeoutMs: 1000 }).acked);
      clock.advance(1000);
      expect(await Promise.all(waits)).toEqual([new Set(), new Set()]);
    });

    it('a client without lingxi.v1 gets no request for an ack', () => {
      const { connect, manager } = openLibrary();
      const { socket } = connect();
      manager.deliverTo(7, manager.prepare('offer', 1, { ack: true }));
      expect(socket.envelopes[0]).not.toHaveProperty('id');
    });

    it('each user gets an own id from one encoding', () => {
      const { connect, manager } = openLibrary();
      const clients = [connect(V1), connect({ ...V1, userId: 8 })];
      const message = manager.prepare('offer', 1, { ack: true });
      manager.deliverTo(7, message);
      manager.deliverTo(8, message);
      const ids = clients.map(({ socket }) => socket.envelopes.at(-1)?.id);
      expect(new Set(ids).size).toBe(2);
    });
  });
});
