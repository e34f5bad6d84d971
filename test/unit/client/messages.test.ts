import { describe, expect, it, vi } from 'vitest';
import type { SendOutcome } from '../../../src/client/types.ts';
import { answersPings, open, start } from './players.ts';
import { settle, World } from './world.ts';

describe('messages', () => {
  it('reach the listeners of their type and those of every type, and listeners can leave', () => {
    const world = new World();
    const { client } = open(world);
    const seen: unknown[] = [];
    const stop = client.on('spirit:grow', (data, { userId }) => seen.push([data, userId]));
    client.on('*', (_data, { type }) => seen.push(type));
    const aborted = new AbortController();
    client.on('spirit:grow', () => seen.push('signal'), { signal: aborted.signal });
    world.socket.message('spirit:grow', { gainAmount: 3 });
    stop();
    aborted.abort();
    world.socket.message('spirit:grow', { gainAmount: 4 });
    world.socket.pong();
    expect(seen).toEqual([[{ gainAmount: 3 }, 7], 'signal', 'spirit:grow', 'spirit:grow']);
  });

  it.each(['', 'x', '[]', 'null', '7', '{}', '{"type":7}', '{"type":null,"id":"1"}'])(
    'that are invalid are ignored: %s',
    (text) => {
      const world = new World();
      const { client } = open(world);
      world.socket.text(text);
      world.socket.text(new ArrayBuffer(3));
      expect(client.state.status).toBe('open');
      expect(world.reported).toEqual([]);
    },
  );

  it('with an id are acknowledged after the listeners, whatever the listeners do', () => {
    const world = new World();
    const { client } = open(world);
    const order: string[] = [];
    client.on('note', () => {
      order.push(`${world.socket.sent.filter(({ type }) => type === 'ack').length} acks`);
      throw new Error('a bug of the page');
    });
    world.socket.message('note', 1, { id: '1.2' });
    world.socket.message('note', 1, { id: 7 });
    expect(order).toEqual(['0 acks', '1 acks']);
    expect(world.socket.sent.filter(({ type }) => type === 'ack')).toEqual([{ type: 'ack', id: '1.2' }]);
    expect(world.reported).toHaveLength(2);
  });

  it('of a burst are acknowledged below the limit of the server', () => {
    const world = new World();
    open(world);
    for (let index = 0; index < 400; index += 1) world.socket.message('note', 1, { id: String(index) });
    const acks = () => world.socket.sent.filter(({ type }) => type === 'ack').length;
    expect(acks()).toBe(30);
    world.clock.advance(1_000);
    expect(acks()).toBeLessThanOrEqual(60);
    world.clock.advance(10_000);
    expect(acks()).toBe(30 + 256);
  });

  it('still reach the other listeners if one throws, rejects, closes the client or changes the listeners', async () => {
    const world = new World();
    const seen: string[] = [];
    const onError = vi.fn<(error: unknown) => void>(() => {
      throw new Error('a bug in the reporter');
    });
    const { client } = open(world, { onError });
    client.on('note', () => {
      throw new Error('thrown');
    });
    client.on('note', async () => {
      throw new Error('rejected');
    });
    client.on('note', () => {
      client.on('note', () => seen.push('added'));
      client.close();
      client.connect();
    });
    client.on('note', () => seen.push('last'));
    client.subscribe(() => {
      throw new Error('of the state');
    });
    world.socket.message('note', 1);
    await settle();
    expect(seen).toEqual(['last']);
    expect(onError.mock.calls.map(([error]) => String(error))).toEqual(
      expect.arrayContaining(['Error: thrown', 'Error: rejected', 'Error: of the state']),
    );
    world.socket.welcome();
    expect(client.state.status).toBe('open');
  });

  it('to the server wait for the connection, in order, and each has an outcome', async () => {
    const world = new World();
    const { client } = start(world, { queueLimit: 2 });
    const outcomes: SendOutcome[] = [];
    const note = (promise: Promise<SendOutcome>) => void promise.then((outcome) => outcomes.push(outcome));
    for (const data of [1, 2, 3]) note(client.send('note', data));
    await settle();
    expect(outcomes).toEqual(['queue-full']);
    world.socket.welcome();
    await settle();
    expect(outcomes).toEqual(['queue-full', 'sent', 'sent']);
    expect(world.socket.sent.filter(({ type }) => type === 'note').map(({ data }) => data)).toEqual([1, 2]);
    const cycle: unknown[] = [];
    cycle.push(cycle);
    expect(await client.send('note', cycle)).toBe('invalid');
    expect(await client.send('note', 1n)).toBe('invalid');
    world.socket.end(1006);
    note(client.send('note', 4));
    client.close();
    await settle();
    expect(outcomes.at(-1)).toBe('closed');
    expect(await client.send('note', 5)).toBe('closed');
  });

  it('to the server wait while the socket is full, and the text in the queue is bounded too', async () => {
    const world = new World();
    const { client } = open(world);
    world.socket.bufferedAmount = 2_000_000;
    const waiting = client.send('note', 'x'.repeat(1_000_000));
    expect(await client.send('note', 'x'.repeat(100_000))).toBe('queue-full');
    world.clock.advance(1_000);
    expect(world.socket.sent.filter(({ type }) => type === 'note')).toEqual([]);
    world.socket.bufferedAmount = 0;
    world.clock.advance(100);
    expect(await waiting).toBe('sent');
  });

  it('to the server keep below its limit of messages a second', async () => {
    const world = new World();
    const { client } = start(world);
    const outcomes = Array.from({ length: 64 }, () => client.send('note'));
    world.socket.answer = answersPings(world);
    world.socket.welcome();
    expect(world.socket.sent).toHaveLength(30);
    world.clock.advance(2_000);
    expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['sent']));
  });

  it('of the protocol can be listened to', () => {
    const world = new World();
    const { client } = start(world);
    const seen: string[] = [];
    client.on('welcome', ({ pingIntervalMs }) => seen.push(`every ${pingIntervalMs}`));
    client.on('error', ({ about, code }) => seen.push(`${about} ${code}`));
    world.socket.welcome();
    world.socket.message('error', { about: 'state', code: 'invalid-body', message: 'No.' });
    expect(seen).toEqual(['every 3000', 'state invalid-body']);
  });

  it('logout goes out and ends with 4000', async () => {
    const world = new World();
    const { client } = open(world);
    expect(await client.logout()).toBe('sent');
    expect(world.socket.sent).toContainEqual({ type: 'logout' });
    world.socket.end(4000, 'logout');
    expect(client.state).toEqual({ status: 'closed', reason: 'logout', code: 4000 });
  });
});
