import { describe, expect, it, vi } from 'vitest';
import { Connection } from '../../../src/client/client.ts';
import type { ClientOptions, SendOutcome, State } from '../../../src/client/types.ts';
import { settle, tokenUntil, World } from './world.ts';

const HOUR_MS = 3_600_000;

function start(world: World, options: Partial<ClientOptions> = {}) {
  const client = new Connection(
    { ...(options.getToken === undefined ? { token: 'secret' } : {}), ...options },
    world.env,
  );
  const states: State[] = [];
  client.subscribe((state) => states.push(state));
  client.connect();
  return { client, states };
}

/** A client whose server answers pings. */
function open(world: World, options: Partial<ClientOptions> = {}) {
  const started = start(world, options);
  world.socket.answer = answersPings(world);
  world.socket.welcome();
  return started;
}

function answersPings(world: World) {
  const { socket } = world;
  return ({ type }: { type: string }) => {
    if (type === 'ping') world.clock.after(20, () => socket.pong());
  };
}

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

  it('of a seed client has the token in the address and no subprotocol', () => {
    const world = new World();
    const { client } = start(world, { protocol: 'seed', url: 'ws://host/ws?userId=7', token: 'a+b' });
    expect(world.socket.url).toBe('ws://host/ws?userId=7&token=a%2Bb');
    expect(world.socket.protocols).toEqual([]);
    world.socket.accept();
    expect(client.state).toEqual({ status: 'open', reason: 'connected' });
  });

  it('is over with welcome, and not before', () => {
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

  it('that hangs for 5 s is given up, with or without an open socket', () => {
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

  it('that the page forbids is tried again, and says why', () => {
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
    'with %i it comes back',
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

  it('connect() brings back a client that stays away', () => {
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

  it('counts the row of failures anew only after a connection that lasted', () => {
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

  it('obeys the time that goodbye names, and never returns sooner', () => {
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

  it.each([[-5], [Number.NaN], ['soon'], [null], [1e300]])('takes no nonsense from goodbye: %s', (wait) => {
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

  it('obeys a refusal in band: closed for good, or later', () => {
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

describe('the token', () => {
  function withTokens(world: World, tokens: readonly string[] = []) {
    const asked: { reason: string; at: number }[] = [];
    const getToken = ({ reason }: { reason: string }): Promise<string> => {
      asked.push({ reason, at: world.clock.now() });
      return Promise.resolve(tokens[asked.length - 1] ?? `token-${asked.length}`);
    };
    return { asked, getToken, reasons: () => asked.map(({ reason }) => reason) };
  }

  it('is asked for once, and serves for every reconnection until it expires', async () => {
    const world = new World();
    const { getToken, reasons } = withTokens(world, [tokenUntil(world.clock.now() + HOUR_MS)]);
    start(world, { getToken });
    await settle();
    for (let round = 0; round < 3; round += 1) {
      world.socket.welcome();
      world.socket.end(1011);
      await world.clock.advanceAsync(5_000, 100);
    }
    expect(reasons()).toEqual(['start']);
    world.clock.stall(HOUR_MS);
    world.socket.end(1006);
    await world.clock.advanceAsync(10_000, 100);
    expect(reasons()[1]).toMatch(/expired|refused/);
  });

  it('is asked for anew after 4003, and connects with the new one', async () => {
    const world = new World();
    const { getToken, reasons } = withTokens(world);
    const { client } = start(world, { getToken });
    await settle();
    world.socket.welcome();
    world.socket.end(4003, 'token-expired');
    expect(client.state).toMatchObject({ status: 'waiting', reason: 'token-expired', code: 4003 });
    await world.clock.advanceAsync(1_000);
    expect(reasons()).toEqual(['start', 'expired']);
    expect(world.socket.protocols).toContain('bearer.token-2');
  });

  it('is asked for anew after each handshake without a welcome, never faster than the backoff', async () => {
    const world = new World();
    const { getToken, asked, reasons } = withTokens(world);
    start(world, { getToken });
    for (let round = 0; round < 200; round += 1) {
      await settle();
      if (world.sockets.length === asked.length && !world.socket.isClosed)
        if (round % 2 === 0) world.socket.end(1006);
        else {
          // An open socket is not yet a connection: the server may accept it only to refuse it.
          world.socket.accept();
          world.socket.end(4003, 'invalid-token');
        }
      world.fire('online');
      world.show();
      await world.clock.advanceAsync(100, 50);
    }
    expect(new Set(reasons())).toEqual(new Set(['start', 'refused', 'expired']));
    const gaps = asked.slice(1).map(({ at }, index) => at - (asked[index]?.at ?? 0));
    expect(gaps.length).toBeGreaterThan(5);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(400);
    expect(gaps.length).toBeLessThanOrEqual(21);
  });

  it('is not blamed where the server refuses for now', async () => {
    const world = new World();
    const { getToken, reasons } = withTokens(world);
    start(world, { getToken });
    await settle();
    world.socket.accept();
    world.socket.end(4110, 'overloaded');
    await world.clock.advanceAsync(1_000);
    expect(world.sockets).toHaveLength(2);
    expect(reasons()).toEqual(['start']);
  });

  it.each<[string, () => never]>([
    [
      'throws',
      () => {
        throw new Error('no session');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no session')) as never],
    ['gives nothing', () => undefined as never],
    ['gives an empty text', () => '' as never],
    ['never answers', () => new Promise(() => undefined) as never],
  ])('where getToken %s is asked for again with backoff', async (_case, getToken) => {
    const world = new World();
    const asked = vi.fn<(request: { reason: string }) => never>(getToken);
    const { client } = start(world, { getToken: asked });
    await world.clock.advanceAsync(10_000, 100);
    expect(client.state).toMatchObject({ status: 'waiting', reason: 'no-token' });
    expect(client.state.detail).toMatch(/no session|no token|in time/);
    expect(asked.mock.calls.length).toBeLessThan(8);
    expect(asked).toHaveBeenLastCalledWith({ reason: 'start' });
    expect(world.reported).toEqual([]);
  });

  it('that comes after the client was closed opens nothing', async () => {
    const world = new World();
    let give: (token: string) => void = () => undefined;
    const { client } = start(world, {
      getToken: () =>
        new Promise((resolve) => {
          give = resolve;
        }),
    });
    await settle();
    client.close();
    give('late');
    await settle();
    expect(world.sockets).toEqual([]);
    expect(world.timers).toBe(0);
  });

  it("is renewed before it expires, by the server's clock, and the connection stays", async () => {
    const world = new World();
    // The client's clock is an hour slow.
    const serverNow = () => world.clock.now() + HOUR_MS;
    const { getToken, asked } = withTokens(world, [tokenUntil(serverNow() + 600_000), 'fresh']);
    start(world, { getToken });
    await settle();
    const begin = world.clock.now();
    const expiries = [serverNow() + 520_000, null];
    world.socket.answer = ({ type }) => {
      if (type === 'ping') world.socket.pong();
      if (type === 'token') world.socket.message('token', { expiresAt: expiries.shift() });
    };
    world.socket.accept();
    const welcome = { type: 'welcome', userId: 7, timestamp: serverNow() / 1000, data: {} };
    world.socket.text(JSON.stringify(welcome));
    await world.clock.advanceAsync(500_000, 1_000);
    expect(asked[1]).toEqual({ reason: 'renewal', at: begin + 480_000 });
    expect(world.socket.sent).toContainEqual({ type: 'token', data: { token: 'fresh' } });
    await world.clock.advanceAsync(20_000, 1_000);
    expect(asked[2]).toEqual({ reason: 'renewal', at: begin + 510_000 });
    await world.clock.advanceAsync(HOUR_MS, 10_000);
    expect(asked).toHaveLength(3);
    expect(world.sockets).toHaveLength(1);
  });

  it('that the server refuses at the renewal is asked for again, 2.5 to 7.5 s later', async () => {
    const world = new World();
    const { getToken, asked } = withTokens(world, [tokenUntil(world.clock.now() + 4_000)]);
    start(world, { getToken });
    await settle();
    world.socket.answer = answersPings(world);
    world.socket.welcome();
    await world.clock.advanceAsync(3_000, 100);
    world.socket.message('error', { about: 'token', code: 'credentials-unavailable', message: 'Later.' });
    await world.clock.advanceAsync(5_100, 100);
    expect(asked.map(({ reason }) => reason)).toEqual(['start', 'renewal', 'renewal']);
    expect(world.sockets).toHaveLength(1);
  });

  it('that lives for a month is not renewed at once', async () => {
    const world = new World();
    const { getToken, reasons } = withTokens(world, [tokenUntil(world.clock.now() + 40 * 24 * HOUR_MS)]);
    start(world, { getToken });
    await settle();
    world.socket.answer = answersPings(world);
    world.socket.welcome();
    await world.clock.advanceAsync(20_000, 500);
    expect(reasons()).toEqual(['start']);
  });
});

describe('heartbeats', () => {
  it('of a seed client go out each second, without an answer', () => {
    const world = new World();
    const { client } = start(world, { protocol: 'seed' });
    world.socket.accept();
    world.clock.advance(10_000);
    expect(world.socket.pings()).toBe(10);
    expect(world.socket.sent[0]).toEqual({ type: 'ping', timestamp: expect.any(Number) });
    expect(client.state.status).toBe('open');
  });

  it('of lingxi.v1 follow the interval of the server', () => {
    const world = new World();
    open(world);
    world.clock.advance(30_000);
    expect(world.socket.pings()).toBe(10);
  });

  it('find a dead line before the server gives the user up', () => {
    const world = new World();
    const { client } = start(world);
    world.socket.welcome();
    world.clock.advance(8_000);
    expect(client.state).toMatchObject({ status: 'waiting', reason: 'no-answer' });
    expect(world.socket.isClosed).toBe(true);
  });

  it.each(['online', 'pageshow', 'resume', 'visibilitychange'])(
    'demand an answer within 2 s after %s',
    (event) => {
      const world = new World();
      const { client } = open(world);
      world.socket.answer = () => undefined;
      world.clock.advance(1_000);
      const before = world.socket.pings();
      world.fire(event);
      world.fire(event);
      expect(world.socket.pings()).toBe(before + 1);
      world.clock.advance(1_999);
      expect(client.state.status).toBe('open');
      world.clock.advance(1);
      expect(client.state).toMatchObject({ status: 'waiting', reason: 'no-answer' });
    },
  );

  it('demand an answer after a jump of the clock, and any frame is one', () => {
    const world = new World();
    const { client } = open(world);
    world.socket.answer = () => undefined;
    world.clock.stepWall(60_000);
    world.clock.advance(3_000);
    world.clock.advance(1_000);
    world.socket.message('note', 1);
    world.clock.advance(1_500);
    expect(client.state.status).toBe('open');
    world.clock.stepWall(-60_000);
    world.clock.advance(5_000);
    expect(client.state.reason).toBe('no-answer');
  });

  it('judge nobody by a timer that was itself late, and not twice', () => {
    const world = new World();
    const { client } = open(world);
    world.socket.answer = () => undefined;
    world.fire('resume');
    world.clock.stall(60_000);
    world.clock.advance(1_999);
    expect(client.state.status).toBe('open');
    world.clock.stall(60_000);
    world.clock.advance(0);
    expect(client.state).toMatchObject({ status: 'waiting', reason: 'no-answer' });
  });

  it('of a seed client that slept longer than its server waits lead to a new socket', () => {
    const world = new World();
    const { client } = start(world, { protocol: 'seed' });
    world.socket.accept();
    world.clock.stall(30_000);
    world.clock.advance(1_000);
    expect(client.state).toMatchObject({ reason: 'slept' });
    expect(world.socket.isClosed || world.sockets.length === 2).toBe(true);
  });
});

describe('the page', () => {
  it('that is left closes the socket; the one that comes back from the cache connects at once', () => {
    const world = new World();
    const { client } = start(world);
    for (let round = 0; round < 6; round += 1) {
      world.socket.end(1006);
      world.clock.advance(30_000);
    }
    world.socket.welcome();
    world.fire('pagehide');
    expect(world.socket.isClosed).toBe(true);
    expect(client.state).toEqual({ status: 'paused', reason: 'page-hidden' });
    expect(world.timers).toBe(0);
    world.clock.stall(HOUR_MS);
    world.fire('pageshow');
    expect(client.state).toEqual({ status: 'connecting', reason: 'page-shown' });
    world.socket.end(1006);
    expect((client.state.retryAt ?? 0) - world.clock.now()).toBe(500);
  });

  it('that is hidden shows as background, and as active again', () => {
    const world = new World();
    open(world);
    world.hide();
    world.show();
    const states = world.socket.sent.filter(({ type }) => type === 'state').map(({ data }) => data);
    expect(states).toEqual([{ value: 'background' }, { value: 'active' }]);
  });

  it('that is online again ends the wait and the row of failures, about once a second', () => {
    const world = new World();
    const { client } = start(world);
    for (let round = 0; round < 6; round += 1) {
      if (round > 0) world.clock.advance((client.state.retryAt ?? 0) - world.clock.now());
      world.socket.end(1006);
    }
    expect((client.state.retryAt ?? 0) - world.clock.now()).toBe(15_000);
    const before = world.sockets.length;
    world.clock.advance(2_000);
    world.fire('online');
    world.clock.advance(0);
    expect(world.sockets).toHaveLength(before + 1);
    for (let index = 0; index < 500; index += 1) {
      world.fire('online');
      if (client.state.status === 'connecting') world.socket.end(1006);
      world.clock.advance(20);
    }
    const storm = world.sockets.length - before;
    expect(storm).toBeGreaterThan(5);
    expect(storm).toBeLessThanOrEqual(13);
  });

  it('that was frozen comes back by itself, also where the server closed with 4101 meanwhile', () => {
    const world = new World();
    const { client } = open(world);
    world.clock.stall(300_000);
    world.fire('resume');
    world.socket.end(4101, 'slow-consumer');
    world.clock.advance(1_000);
    world.socket.welcome();
    expect(client.state.status).toBe('open');
  });
});

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
    'that are none are ignored: %s',
    (text) => {
      const world = new World();
      const { client } = open(world);
      world.socket.text(text);
      world.socket.text(new ArrayBuffer(3));
      expect(client.state.status).toBe('open');
      expect(world.reported).toEqual([]);
    },
  );

  it('with an id are acknowledged after the listeners, whatever these do', () => {
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

  it('disturb nobody if a listener throws, rejects, closes the client or changes the listeners', async () => {
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

  it('to the server wait while the socket is full, and the queue has a bound in text too', async () => {
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
