import { describe, expect, it } from 'vitest';
import { Connection } from '../../../src/client/client.ts';
import { answersPings, open, start } from './players.ts';
import { World } from './world.ts';

const HOUR_MS = 3_600_000;

describe('the handshake', () => {
  it('offers lingxi.v1 with the token as a subprotocol, at /ws of the page', () => {
    const world = new World();
    start(world);
    expect(world.socket.url).toBe('wss://game.example/ws');
    expect(world.socket.protocols).toEqual(['lingxi.v1', 'bearer.secret']);
  });

  it('takes http addresses and paths, and sends no fragment', () => {
    const world = new World();
    start(world, { url: 'http://other.example:3000/ws?userId=7#here' });
    expect(world.socket.url).toBe('ws://other.example:3000/ws?userId=7');
  });

  it('can send the token as a header', () => {
    const world = new World();
    start(world, { auth: 'header' });
    expect(world.socket.protocols).toEqual(['lingxi.v1']);
    expect(world.socket.extra).toEqual({ headers: { Authorization: 'Bearer secret' } });
  });

  it('of a client without lingxi.v1 has the token in the address and no subprotocol', () => {
    const world = new World();
    const { client } = start(world, { protocol: 'seed', url: 'ws://host/ws?userId=7', token: 'a+b' });
    expect(world.socket.url).toBe('ws://host/ws?userId=7&token=a%2Bb');
    expect(world.socket.protocols).toEqual([]);
    world.socket.accept();
    expect(client.state).toEqual({ status: 'open', reason: 'connected' });
  });

  it('ends with welcome, and not before', () => {
    const world = new World();
    const { client, states } = start(world);
    world.socket.accept();
    expect(client.state.status).toBe('connecting');
    world.socket.message('welcome', { resumed: true, pingIntervalMs: 3_000 });
    expect(states).toEqual([
      { status: 'connecting', reason: 'start' },
      { status: 'open', reason: 'resumed' },
    ]);
  });

  it('ends after 5 s without progress, with or without an open socket', () => {
    const world = new World();
    const { client } = start(world);
    world.clock.advance(5_000);
    expect(client.state).toMatchObject({ status: 'waiting', reason: 'connect-timeout' });
    expect(world.socket.isClosed).toBe(true);
    world.clock.advance(500);
    world.socket.accept();
    world.clock.advance(5_000);
    expect(client.state).toMatchObject({ status: 'waiting', reason: 'connect-timeout' });
    expect(world.sockets).toHaveLength(2);
  });

  it('is tried again if the page forbids it, and reports why', () => {
    const world = new World();
    world.isForbidden = true;
    const { client } = start(world);
    expect(client.state).toMatchObject({ status: 'waiting', reason: 'connect-failed' });
    expect(client.state.detail).toContain('may not open');
    world.isForbidden = false;
    world.clock.advance(1_000);
    world.socket.welcome();
    expect(client.state.status).toBe('open');
  });

  it('without a token, a WebSocket class or an address is refused when the client is made', () => {
    const { env } = new World();
    expect(() => new Connection({}, env)).toThrow(/token/);
    expect(() => new Connection({ token: 'a' }, { ...env, WebSocket: undefined })).toThrow(/"ws"/);
    expect(() => new Connection({ token: 'a', url: 'mailto:a@b' }, env)).toThrow(/address/);
    expect(() => new Connection({ token: 'a' }, { ...env, address: undefined })).toThrow(/URL/);
  });
});

describe('after a close', () => {
  it.each([4000, 4001, 4002, 4003, 4004, 4005, 4006, 4007, 4008, 4099])('with %i it stays away', (code) => {
    const world = new World();
    const { client } = open(world);
    world.socket.end(code, 'why');
    expect(client.state).toEqual({ status: 'closed', reason: 'why', code });
    world.fire('online');
    world.show();
    world.fire('pageshow');
    world.clock.advance(HOUR_MS);
    expect(world.sockets).toHaveLength(1);
    expect(world.timers).toBe(0);
    expect(world.listeners()).toBe(0);
  });

  it.each([1000, 1001, 1006, 1008, 1009, 1011, 1012, 1013, 3999, 4100, 4101, 4102, 4110, 4199, 4200])(
    'with %i it reconnects',
    (code) => {
      const world = new World();
      const { client } = open(world);
      world.socket.end(code);
      expect(client.state).toMatchObject({ status: 'waiting', code });
      world.clock.advance(1_000);
      world.socket.welcome();
      expect(client.state.status).toBe('open');
    },
  );

  it('connect() makes a client that stays away reconnect', () => {
    const world = new World();
    const { client } = open(world);
    world.socket.end(4001, 'replaced');
    client.connect();
    world.socket.welcome();
    expect(client.state.status).toBe('open');
  });

  it('waits a random part of a doubled time, of 30 s at most', () => {
    const world = new World();
    const { client } = start(world);
    for (const luck of [0, 0.5, 0.999]) {
      world.luck = luck;
      client.close();
      client.connect();
      const waits = Array.from({ length: 8 }, () => {
        const now = world.clock.now();
        world.socket.end();
        const wait = (client.state.retryAt ?? 0) - now;
        world.clock.advance(wait);
        return wait;
      });
      const full = [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000];
      expect(waits).toEqual(full.map((wait) => wait * luck));
    }
  });

  it('counts the row of failures from 0 again only after a connection that lasted', () => {
    const world = new World();
    const { client } = start(world);
    const waitAfter = (livedMs: number): number => {
      world.socket.answer = answersPings(world);
      world.socket.welcome();
      world.clock.advance(livedMs);
      world.socket.end(1011);
      const wait = (client.state.retryAt ?? 0) - world.clock.now();
      world.clock.advance(wait);
      return wait;
    };
    expect([waitAfter(100), waitAfter(100), waitAfter(100)]).toEqual([500, 1_000, 2_000]);
    expect(waitAfter(6_000)).toBe(500);
  });

  it('obeys the time in goodbye, and never returns sooner', () => {
    const world = new World();
    const { client } = open(world);
    world.socket.message('goodbye', { code: 1012, reason: 'shutdown', reconnectAfterMs: 4_000 });
    world.socket.end(1012, 'shutdown');
    expect(client.state).toMatchObject({ reason: 'shutdown', retryAt: world.clock.now() + 4_000 });
    world.clock.advance(1_500);
    world.fire('online');
    world.show();
    world.clock.advance(2_499);
    expect(world.sockets).toHaveLength(1);
    world.clock.advance(1);
    expect(world.sockets).toHaveLength(2);
  });

  it.each([[-5], [Number.NaN], ['soon'], [null], [1e300]])('ignores an invalid goodbye: %s', (wait) => {
    const world = new World();
    const { client } = open(world);
    world.socket.message('goodbye', { reconnectAfterMs: wait });
    world.socket.message('goodbye', null);
    world.socket.end(1012);
    const left = (client.state.retryAt ?? 0) - world.clock.now();
    expect(left).toBeGreaterThanOrEqual(0);
    expect(left).toBeLessThanOrEqual(300_000);
    world.clock.advance(left);
    expect(world.sockets).toHaveLength(2);
  });

  it('obeys a refusal in band: closed permanently, or a later attempt', () => {
    const world = new World();
    const { client } = start(world);
    world.socket.accept();
    world.socket.message('goodbye', { code: 4110, reason: 'overloaded', reconnectAfterMs: 3_000 });
    world.socket.end(4110, 'overloaded');
    expect(client.state).toMatchObject({ reason: 'overloaded', retryAt: world.clock.now() + 3_000 });
    world.clock.advance(3_000);
    world.socket.accept();
    world.socket.end(4006, 'session-exists');
    expect(client.state).toEqual({ status: 'closed', reason: 'session-exists', code: 4006 });
  });
});

describe('the end', () => {
  it('comes with the signal, at any time, and connect() does not undo it', () => {
    for (const prepare of [start, open]) {
      const world = new World();
      const abort = new AbortController();
      const { client } = prepare(world, { signal: abort.signal });
      abort.abort();
      expect(client.state).toEqual({ status: 'closed', reason: 'aborted' });
      expect(world.socket.isClosed).toBe(true);
      client.connect();
      world.clock.advance(HOUR_MS);
      expect(world.sockets).toHaveLength(1);
      expect([world.timers, world.listeners()]).toEqual([0, 0]);
    }
    const world = new World();
    const { client } = start(world, { signal: AbortSignal.abort() });
    expect(client.state).toEqual({ status: 'closed', reason: 'aborted' });
    expect(world.sockets).toEqual([]);
  });

  it('by close() leaves nothing behind and may come twice', () => {
    const world = new World();
    const { client, states } = open(world);
    client.close();
    client.close();
    expect(states.map(({ status }) => status)).toEqual(['connecting', 'open', 'closed']);
    expect([world.timers, world.listeners()]).toEqual([0, 0]);
    expect(world.socket.afterlife).toEqual([]);
  });
});
