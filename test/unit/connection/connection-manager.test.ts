import { describe, expect, it } from 'vitest';
import type { ManagerEvents, ManagerObserver } from '../../../src/index.ts';
import { FakeSocket } from '../../support/fake-socket.ts';
import { openLibrary, PING } from './library.ts';

describe('ConnectionManager as a library', () => {
  it('registers a client, reaches it, and forgets it', () => {
    const { manager } = openLibrary();
    const socket = new FakeSocket();
    const connection = socket.attach(manager.registerClient(7, 'Ann', socket));
    expect({ online: manager.onlineCount(), here: manager.isUserOnline(7) }).toEqual({
      online: 1,
      here: true,
    });
    expect(manager.sendToUser(7, 'hello', { n: 1 })).toEqual({
      userId: 7,
      status: 'written',
      connections: 1,
    });
    expect(socket.envelopes).toEqual([
      { type: 'hello', userId: 7, timestamp: 1_767_225_600, data: { n: 1 } },
    ]);
    manager.unregisterClient(connection);
    expect(socket.closes).toEqual([{ code: 1000, reason: 'client-closed' }]);
    expect({ online: manager.onlineCount(), here: manager.isUserOnline(7) }).toEqual({
      online: 0,
      here: false,
    });
  });

  it('[DL1] an absent user is offline, not an error', () => {
    const { manager } = openLibrary();
    expect(manager.sendToUser(404, 'hello', null)).toEqual({
      userId: 404,
      status: 'offline',
      connections: 0,
    });
    expect(manager.counters.messages.offline).toBe(1);
  });

  it('[PR4] a newer connection closes the older one with 4001', () => {
    const { connect, manager } = openLibrary();
    const older = connect();
    const newer = connect();
    expect(older.socket.code).toBe(4001);
    expect(newer.socket.code).toBeUndefined();
    expect(manager.connectionsOf(7)).toEqual([newer.connection]);
    manager.sendToUser(7, 'x', null);
    expect([older.socket.frames.length, newer.socket.frames.length]).toEqual([0, 1]);
  });

  it('[PR4] a connection with an older epoch than the present one is closed', () => {
    const { connect, manager } = openLibrary();
    const newer = connect({ epoch: 5000 });
    const late = connect({ epoch: 4000 });
    expect(late.socket.code).toBe(4001);
    expect(newer.socket.code).toBeUndefined();
    expect(manager.connectionCount).toBe(1);
  });

  it('[PR7] the late end of a replaced connection does not affect the newer one', () => {
    const { connect, manager } = openLibrary();
    const ends: string[] = [];
    manager.on('disconnected', ({ connection, cause }) =>
      ends.push(`${connection.registration.connectionId} ${cause}`),
    );
    const older = connect();
    const newer = connect();
    older.socket.end(1006);
    older.socket.hear(PING);
    manager.unregisterClient(older.connection);
    expect(manager.connectionsOf(7)).toEqual([newer.connection]);
    expect(manager.sendToUser(7, 'x', null).status).toBe('written');
    expect(ends).toEqual(['c1 replaced']);
  });

  it('[PR4] under multi connections live side by side and all are reached', () => {
    const { connect, manager } = openLibrary({ policy: 'multi' });
    const [first, second] = [connect(), connect()];
    expect(manager.onlineCount()).toBe(1);
    expect(manager.connectionCount).toBe(2);
    expect(manager.sendToUser(7, 'x', null)).toEqual({ userId: 7, status: 'written', connections: 2 });
    first.socket.end();
    expect(manager.isUserOnline(7)).toBe(true);
    second.socket.end();
    expect(manager.isUserOnline(7)).toBe(false);
  });

  it('[PR3] registerClient gives a newer epoch to the newer connection, also in one millisecond and after a step back', () => {
    const { manager, clock } = openLibrary({ policy: 'multi' });
    const epochs: number[] = [];
    for (let count = 0; count < 3; count += 1) {
      epochs.push(manager.registerClient(7, 'Ann', new FakeSocket()).registration.epoch);
      clock.stepWall(-10_000);
    }
    expect(epochs).toEqual([...new Set(epochs)].sort((a, b) => a - b));
  });

  it('closeUser closes connections up to an epoch and no newer one', () => {
    const { connect, manager } = openLibrary({ policy: 'multi' });
    const [first, second] = [connect({ epoch: 1 }), connect({ epoch: 2 })];
    manager.closeUser(7, 'kick', { epoch: 1 });
    expect([first.socket.code, second.socket.code]).toEqual([4002, undefined]);
    manager.closeUser(7, 'logout');
    expect(second.socket.code).toBe(4000);
  });

  it('closing is idempotent: one close frame, one end, the first cause', () => {
    const ended: string[] = [];
    const observer: ManagerObserver = {
      registered: () => undefined,
      ended: (_connection, cause) => ended.push(cause),
      logoutRequested: () => undefined,
      tokenOffered: () => undefined,
    };
    const { connect } = openLibrary({ observer });
    const { connection, socket } = connect();
    connection.close('kick');
    connection.close('logout');
    socket.end(4002);
    socket.end(1006);
    connection.close('shutdown');
    expect(socket.closes).toEqual([{ code: 4002, reason: 'kick' }]);
    expect(ended).toEqual(['kick']);
  });

  it('drops a socket without an answer to the close frame, and no other', () => {
    const { connect, clock } = openLibrary();
    const [silent, polite] = [connect({ userId: 1 }), connect({ userId: 2 })];
    silent.connection.close('kick');
    polite.connection.close('kick');
    polite.socket.end(4002);
    clock.advance(60_000);
    expect([silent.socket.terminated, polite.socket.terminated]).toEqual([true, false]);
  });

  it('listeners get connections, messages and ends, with their causes', () => {
    const { connect, manager } = openLibrary();
    const told: string[] = [];
    const stop = manager.on('connected', ({ connection }) => told.push(`connected ${connection.userId}`));
    manager.on('message', ({ message }) => told.push(`message ${message.type}`));
    manager.on('disconnected', ({ cause, code }) => told.push(`disconnected ${cause} ${code}`));
    const { socket } = connect();
    socket.hear({ type: 'chat', data: 'hi' });
    socket.hear(PING);
    socket.end(1006);
    stop();
    connect({ userId: 8 });
    expect(told).toEqual(['connected 7', 'message chat', 'disconnected connection-lost 1006']);
  });

  it('a listener that throws does not stop the other listeners', () => {
    const { connect, manager } = openLibrary();
    const told: ManagerEvents['connected'][] = [];
    manager.on('connected', () => {
      throw new Error('of the application');
    });
    manager.on('connected', (event) => told.push(event));
    connect();
    expect(told).toHaveLength(1);
  });

  it('a connection that its observer refuses is never announced', () => {
    const told: string[] = [];
    const observer: ManagerObserver = {
      registered: (connection) => connection.close('replaced'),
      ended: () => told.push('ended'),
      logoutRequested: () => undefined,
      tokenOffered: () => undefined,
    };
    const { connect, manager } = openLibrary({ observer });
    manager.on('connected', () => told.push('connected'));
    manager.on('disconnected', () => told.push('disconnected'));
    const { socket } = connect({ protocol: 'lingxi.v1' });
    expect(told).toEqual(['ended']);
    expect(socket.frames).toEqual([]);
    expect(manager.connectionCount).toBe(0);
  });

  it('[DR1] close ends all connections with 1012 and stops the heartbeat', () => {
    const { connect, manager, clock } = openLibrary();
    const sockets = [connect({ userId: 1 }), connect({ userId: 2, protocol: 'lingxi.v1' })].map(
      ({ socket }) => socket,
    );
    manager.close(() => 1500);
    expect(sockets.map(({ code }) => code)).toEqual([1012, 1012]);
    expect(sockets[0]?.frames).toEqual([]);
    expect(sockets[1]?.envelopes.at(-1)).toMatchObject({
      type: 'goodbye',
      data: { code: 1012, reason: 'shutdown', reconnectAfterMs: 1500 },
    });
    const late = connect({ userId: 3 });
    clock.advance(60_000);
    expect(late.socket.code).toBeUndefined();
  });

  it('[DR1] a drain closes the oldest first, and those with messages behind their sockets last', () => {
    const { connect, manager } = openLibrary();
    const sockets = [1, 2, 3].map((userId) => connect({ userId }).socket);
    sockets[0]?.block();
    manager.sendToUser(1, 'stuck', null);
    manager.sendToUser(1, 'behind', null);
    const closed = () => sockets.map(({ code }) => code !== undefined);
    manager.disconnectNext();
    expect(closed()).toEqual([false, true, false]);
    manager.disconnectNext();
    expect(closed()).toEqual([false, true, true]);
    sockets[0]?.drain();
    expect(sockets[0]?.types).toEqual(['stuck', 'behind']);
    expect([manager.disconnectNext(), manager.disconnectNext()]).toEqual([true, false]);
  });

  it('shows what is known of a connection', () => {
    const { connect, manager } = openLibrary();
    const { socket } = connect({ protocol: 'lingxi.v1' });
    socket.hear({ type: 'state', data: { value: 'background' } });
    socket.block();
    manager.sendToUser(7, 'a', null);
    manager.sendToUser(7, 'b', null);
    const held = socket.bufferedBytes();
    expect(manager.ofUser(7)).toEqual([
      {
        connectionId: 'c1',
        userId: 7,
        username: '玩家7',
        epoch: 1001,
        since: Date.UTC(2026, 0, 1),
        ip: '192.0.2.1',
        protocol: 'lingxi.v1',
        state: 'background',
        queue: 1,
        queueBytes: held * 2,
      },
    ]);
    expect(manager.queuedMessages()).toBe(1);
  });
});
