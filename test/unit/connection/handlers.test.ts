import { describe, expect, it } from 'vitest';
import { silentLog } from '../../../src/logging/log.ts';
import type { FakeSocket } from '../../support/fake-socket.ts';
import { openLibrary } from './library.ts';

const CHAT = '{"type":"chat","data":{"n":9007199254740993}}';
const NOTHING = (): void => {};
const errorsIn = (socket: FakeSocket): unknown[] =>
  socket.envelopes.filter(({ type }) => type === 'error').map(({ data }) => data);

describe('messages of the types of the application', () => {
  it('go to the handler of their type, and to every listener', () => {
    const { manager, connect } = openLibrary();
    const [handled, heard]: [unknown[], unknown[]] = [[], []];
    manager.handle('chat', ({ message, connection }) => handled.push([connection.userId, message.type]));
    manager.on('message', ({ message }) => heard.push(message.type));
    const { socket } = connect({ protocol: 'lingxi.v1' });
    socket.hear(CHAT);
    socket.hear('{"type":"other"}');
    expect(handled).toEqual([[7, 'chat']]);
    expect(heard).toEqual(['chat', 'other']);
    expect(errorsIn(socket)).toEqual([]);
    expect(manager.counters.inbound.handled).toBe(2);
  });

  it('have one handler, which can be removed', () => {
    const { manager, connect } = openLibrary();
    let handled = 0;
    const handler = (by: number) => (): void => {
      handled += by;
    };
    const takeBack = manager.handle('chat', handler(1));
    expect(() => manager.handle('chat', () => undefined)).toThrow('have a handler');
    takeBack();
    takeBack();
    const { socket } = connect({ protocol: 'lingxi.v1' });
    socket.hear(CHAT);
    manager.handle('chat', handler(10));
    takeBack();
    socket.hear(CHAT);
    expect(handled).toBe(10);
    expect(errorsIn(socket)).toMatchObject([{ about: 'message', code: 'unhandled-type', type: 'chat' }]);
  });

  it.each([
    [undefined, NOTHING],
    [7, NOTHING],
    ['chat', undefined],
    ['ping', NOTHING],
  ])('a wrong call throws (%#)', (type, handler) => {
    const { manager } = openLibrary();
    expect(() => manager.handle(type as string, handler as () => void)).toThrow(TypeError);
  });

  it('a handler that throws or rejects loses that message only, and is logged', async () => {
    const lines: unknown[] = [];
    const log = { ...silentLog, error: (fields: { event: string }) => lines.push(fields) };
    const { manager, connect } = openLibrary({ log });
    let calls = 0;
    manager.handle('throws', () => {
      calls += 1;
      throw new Error('a bug');
    });
    manager.handle('rejects', async () => {
      calls += 1;
      throw new Error('a bug');
    });
    const { socket } = connect();
    for (const type of ['throws', 'rejects', 'throws']) socket.hear(JSON.stringify({ type }));
    await Promise.resolve();
    await Promise.resolve();
    expect(calls).toBe(3);
    expect(socket.code).toBeUndefined();
    expect(lines).toMatchObject(
      Array.from({ length: 3 }, () => ({ event: 'internal-error', where: 'listener' })),
    );
  });

  it('without a handler go to the store with their text; the client is notified of a refusal', () => {
    const taken: unknown[] = [];
    const inbound = {
      take: (_connection: unknown, { type }: { type: string }, text: string) => {
        taken.push([type, text]);
        return type === 'late' ? ('inbound-unavailable' as const) : undefined;
      },
    };
    const { manager, connect } = openLibrary({ inbound });
    manager.handle('own', () => undefined);
    const { socket } = connect({ protocol: 'lingxi.v1' });
    const late = '{"type":"late"}';
    for (const text of [CHAT, '{"type":"own"}', late]) socket.hear(text);
    expect(taken).toEqual([
      ['chat', CHAT],
      ['late', late],
    ]);
    expect(errorsIn(socket)).toMatchObject([{ about: 'message', code: 'inbound-unavailable', type: 'late' }]);
  });

  it('without any receiver are counted; a client without lingxi.v1 gets nothing', () => {
    const { manager, connect } = openLibrary();
    const { socket } = connect();
    socket.hear(CHAT);
    expect(manager.counters.inbound).toEqual({ handled: 0, written: 0, unhandled: 1, dropped: 0 });
    expect(socket.frames).toEqual([]);
  });
});
