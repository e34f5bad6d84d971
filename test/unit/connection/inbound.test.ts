import { describe, expect, it } from 'vitest';
import { openLibrary, PING } from './library.ts';

describe('messages from clients', () => {
  it('close the connection with 1008 over the limit a second, control frames included', () => {
    const { connect, clock } = openLibrary({ maxMessagesPerSecond: 5 });
    const [chatty, pongs, calm] = [connect({ userId: 1 }), connect({ userId: 2 }), connect({ userId: 3 })];
    for (let count = 0; count < 6; count += 1) {
      chatty.socket.hear(PING);
      pongs.socket.pong();
    }
    for (let second = 0; second < 20; second += 1) {
      for (let count = 0; count < 5; count += 1) calm.socket.hear(PING);
      clock.advance(1000);
    }
    expect([chatty.socket.code, pongs.socket.code, calm.socket.code]).toEqual([1008, 1008, undefined]);
    expect(chatty.socket.closes[0]?.reason).toBe('policy-violation');
  });

  it('[PR10] count by real time: pings during frozen time close no connection', () => {
    const { connect, clock, manager } = openLibrary({ maxMessagesPerSecond: 5 });
    const { socket } = connect();
    manager.time.freeze();
    for (let second = 0; second < 60; second += 1) {
      socket.hear(PING);
      clock.advance(1000);
    }
    expect(socket.code).toBeUndefined();
  });

  it('[HB5] close no connection if they queued while the process stood still', () => {
    const { connect, clock } = openLibrary({ maxMessagesPerSecond: 10 });
    const { socket } = connect();
    const second = (): void => {
      for (let count = 0; count < 10; count += 1) {
        clock.advance(100);
        socket.hear(PING);
      }
    };
    second();
    for (const stallMs of [6000, 1500, 30_000]) {
      clock.stall(stallMs);
      for (let count = 0; count < stallMs / 100; count += 1) socket.hear(PING);
      second();
    }
    expect(socket.code).toBeUndefined();
  });

  it('a stall gives credit for its length and no more, and the credit expires after the same time', () => {
    const { connect, clock } = openLibrary({ maxMessagesPerSecond: 10 });
    const [greedy, late] = [connect({ userId: 1 }), connect({ userId: 2 })];
    late.socket.hear(PING);
    clock.stall(6100);
    // The credit of the stall, and the credit of the second that every client may save.
    for (let count = 0; count < 70; count += 1) greedy.socket.hear(PING);
    late.socket.hear(PING);
    expect(greedy.socket.code).toBeUndefined();
    greedy.socket.hear(PING);
    expect(greedy.socket.code).toBe(1008);
    for (let passed = 0; passed < 7000; passed += 1000) {
      clock.advance(1000);
      late.socket.hear(PING);
    }
    for (let count = 0; count < 11; count += 1) late.socket.hear(PING);
    expect(late.socket.code).toBe(1008);
  });

  it('a client may send at the limit forever, and not above it', () => {
    const { connect, clock } = openLibrary({ maxMessagesPerSecond: 10 });
    const [steady, above] = [connect({ userId: 1 }), connect({ userId: 2 })];
    for (let count = 0; count < 600; count += 1) {
      steady.socket.hear(PING);
      above.socket.hear(PING);
      if (count % 2 === 0) above.socket.hear(PING);
      clock.advance(100);
    }
    expect([steady.socket.code, above.socket.code]).toEqual([undefined, 1008]);
  });

  it('malformed messages are counted and reach no listener', () => {
    const { connect, manager } = openLibrary();
    const { socket } = connect();
    const heard: string[] = [];
    manager.on('message', ({ message }) => heard.push(message.type));
    for (const text of ['', '{', '[]', 'null', '"ping"', '{"type":1}', '{"type":"ping"', '{"data":{}}'])
      socket.hear(text);
    socket.hear({ type: 'chat', data: [1] });
    expect(manager.counters.malformedMessages).toBe(8);
    expect(heard).toEqual(['chat']);
    expect(socket.code).toBeUndefined();
    expect(socket.frames).toEqual([]);
  });

  it('are ignored after the close', () => {
    const { connect, manager } = openLibrary();
    const { connection, socket } = connect();
    const heard: string[] = [];
    manager.on('message', ({ message }) => heard.push(message.type));
    connection.close('kick');
    socket.hear({ type: 'chat' });
    socket.hear(PING);
    socket.pong();
    expect(heard).toEqual([]);
    expect(manager.counters.heartbeats).toBe(0);
  });

  it('a lingxi.v1 message of a client without lingxi.v1 goes to the application', () => {
    const { connect, manager } = openLibrary();
    const { socket } = connect();
    const heard: string[] = [];
    manager.on('message', ({ message }) => heard.push(message.type));
    for (const type of ['logout', 'state', 'token', 'ack', 'pong'])
      socket.hear({ type, data: { value: 'active' } });
    expect(heard).toEqual(['logout', 'state', 'token', 'ack', 'pong']);
    expect(socket.code).toBeUndefined();
    expect(socket.frames).toEqual([]);
  });
});
