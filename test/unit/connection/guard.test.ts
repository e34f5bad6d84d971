import { describe, expect, it } from 'vitest';
import { plainTraits } from '../../../src/connection/send-queue.ts';
import type { ManagerObserver, ManagerOptions } from '../../../src/index.ts';
import type { LogFields } from '../../../src/logging/log.ts';
import { FakeSocket } from '../../support/fake-socket.ts';
import { type Connected, openLibrary, PING } from './library.ts';

const BUG = new Error('a bug');
const broken = (): never => {
  throw BUG;
};

function guarded(options: ManagerOptions = {}) {
  const errors: LogFields[] = [];
  const none = (): void => undefined;
  const log = { debug: none, info: none, warn: none, error: (fields: LogFields) => errors.push(fields) };
  const library = openLibrary({ log, ...options });
  const neighbour = library.connect({ userId: 1, protocol: 'lingxi.v1' });
  return { ...library, errors, neighbour };
}

function expectClosed({ connection, socket }: Connected, errors: readonly LogFields[]): void {
  expect(socket.closes.at(-1)).toEqual({ code: 1011, reason: 'internal-error' });
  expect(connection.isOpen).toBe(false);
  const { connectionId } = connection.registration;
  expect(errors).toContainEqual({
    ...{ event: 'internal-error', where: 'socket', userId: 2, connectionId, err: BUG },
  });
}

describe('an exception in the work for one connection', () => {
  const observed: ManagerObserver = {
    registered: () => undefined,
    ended: () => undefined,
    logoutRequested: broken,
    tokenOffered: () => undefined,
  };

  it.each<[string, (client: Connected) => void]>([
    ['a message', ({ socket }) => socket.hear({ type: 'logout' })],
    [
      'the answer to a message',
      ({ socket }) => {
        socket.send = broken;
        socket.hear(PING);
      },
    ],
    [
      'a flush',
      ({ socket, connection }) => {
        socket.block();
        connection.send('"a"', plainTraits('a'));
        connection.send('"b"', plainTraits('b'));
        socket.send = broken;
        socket.drain();
      },
    ],
  ])('in %s closes it with 1011, is logged, and affects no other', (_name, act) => {
    const { connect, errors, neighbour, manager } = guarded({ observer: observed });
    const client = connect({ userId: 2, protocol: 'lingxi.v1' });
    act(client);
    expectClosed(client, errors);
    expect(manager.connectionsOf(2)).toEqual([]);
    neighbour.socket.hear(PING);
    expect(neighbour.socket.types).toEqual(['welcome', 'pong']);
  });

  it('in a push closes it with 1011, and the push continues with the others', () => {
    const { connect, errors, neighbour, manager, clock } = guarded();
    const client = connect({ userId: 2 });
    const last = connect({ userId: 3 });
    client.socket.send = broken;
    void manager.broadcast('news', null);
    clock.advance(0);
    expectClosed(client, errors);
    expect([neighbour.socket.types, last.socket.types]).toEqual([['welcome', 'news'], ['news']]);
  });

  it('in the timeout check closes it with 1011, and the others are still checked', () => {
    const { connect, errors, neighbour, clock } = guarded();
    const client = connect({ userId: 2, protocol: 'lingxi.v1' });
    client.socket.ping = broken;
    clock.advance(3100);
    expectClosed(client, errors);
    expect(neighbour.socket.pings).toBe(1);
    clock.advance(10_000);
    expect(neighbour.socket.code).toBe(4100);
  });

  it('in its close does not keep it open', () => {
    const { connect, errors, manager, clock } = guarded();
    const client = connect({ userId: 2 });
    client.socket.close = broken;
    client.connection.close('kick');
    expect(manager.connectionsOf(2)).toEqual([]);
    expect(errors).toHaveLength(1);
    clock.advance(5000);
    expect(client.socket.terminated).toBe(true);
  });

  it('in a listener of its end has no effect', () => {
    const { connect, errors, manager } = guarded({ observer: { ...observed, ended: broken } });
    const ends: number[] = [];
    manager.on('disconnected', ({ connection }) => ends.push(connection.userId));
    const clients = [connect({ userId: 2 }), connect({ userId: 3 })];
    manager.close();
    expect(clients.map(({ socket }) => socket.code)).toEqual([1012, 1012]);
    expect(ends).toEqual([1, 2, 3]);
    expect(errors).toHaveLength(3);
  });
});

describe('an exception of the application', () => {
  it('in a listener, thrown or rejected, is logged and has no further effect', async () => {
    const { connect, errors, manager } = guarded();
    manager.on('message', broken);
    // An application may pass an async function even if the type returns no promise.
    const rejecting: () => unknown = () => Promise.reject(BUG);
    manager.on('message', rejecting);
    const { socket } = connect({ userId: 2 });
    socket.hear({ type: 'chat' });
    await Promise.resolve();
    await Promise.resolve();
    const line = { event: 'internal-error', where: 'listener', err: BUG };
    expect(errors).toEqual([line, line]);
    expect(socket.code).toBeUndefined();
  });

  it('in its log is not passed on', () => {
    const none = (): void => undefined;
    const { connect } = openLibrary({ log: { debug: broken, info: none, warn: none, error: broken } });
    const { socket } = connect();
    expect(() => socket.hear('not json')).not.toThrow();
    expect(socket.code).toBe(1011);
  });
});

describe('a timer that throws', () => {
  it('is logged, and the next one runs', () => {
    const { clock, errors, manager, connect } = guarded();
    const message = { ...manager.prepare('x', null), frameFor: broken };
    void manager.broadcastPrepared(message);
    const socket = new FakeSocket();
    connect({ userId: 9 }, socket);
    void manager.broadcast('after', null);
    clock.advance(0);
    expect(errors).toEqual([{ event: 'internal-error', where: 'timer', err: BUG }]);
    expect(socket.types).toEqual(['after']);
    expect(manager.dispatchQueueDepth).toBe(0);
  });
});
