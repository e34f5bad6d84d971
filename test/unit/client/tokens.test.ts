import { describe, expect, it, vi } from 'vitest';
import { answersPings, start } from './players.ts';
import { settle, tokenUntil, World } from './world.ts';

const HOUR_MS = 3_600_000;

describe('the token', () => {
  function withTokens(world: World, tokens: readonly string[] = []) {
    const asked: { reason: string; at: number }[] = [];
    const getToken = ({ reason }: { reason: string }): Promise<string> => {
      asked.push({ reason, at: world.clock.now() });
      return Promise.resolve(tokens[asked.length - 1] ?? `token-${asked.length}`);
    };
    return { asked, getToken, reasons: () => asked.map(({ reason }) => reason) };
  }

  it('is requested once, and used for every reconnection until it expires', async () => {
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

  it('is requested again after 4003, and the new one is used', async () => {
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

  it('is requested again after each handshake without a welcome, never faster than the backoff', async () => {
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

  it('is kept if the server refuses for now', async () => {
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

  it('that gets 401 is requested again, as after 4003, with ws and with Bun', async () => {
    for (const message of ['Unexpected server response: 401', 'failed: Expected 101 status code: 401']) {
      const world = new World();
      const { getToken, reasons } = withTokens(world);
      const { client } = start(world, { getToken });
      await settle();
      world.socket.fail(message);
      expect(client.state).toMatchObject({ status: 'waiting', reason: 'refused', detail: message });
      await world.clock.advanceAsync(1_000);
      expect(reasons()).toEqual(['start', 'expired']);
    }
  });

  it('that never changes is not tried again after 401', () => {
    const world = new World();
    const { client } = start(world, { token: 'secret' });
    world.socket.fail('Unexpected server response: 401');
    expect(client.state).toMatchObject({ status: 'closed', reason: 'refused' });
    expect(world.timers).toBe(0);
  });

  it.each([403, 409])('is not requested again after %i: no token would help', async (status) => {
    const world = new World();
    const { getToken, reasons } = withTokens(world);
    const { client } = start(world, { getToken });
    await settle();
    world.socket.fail(`Unexpected server response: ${status}`);
    expect(client.state).toMatchObject({ status: 'closed', reason: 'refused' });
    await world.clock.advanceAsync(60_000, 1_000);
    expect(reasons()).toEqual(['start']);
    expect(world.sockets).toHaveLength(1);
  });

  it.each([
    'Unexpected server response: 404',
    'Unexpected server response: 429',
    'Unexpected server response: 503',
    'connect ECONNREFUSED 127.0.0.1:403',
  ])('keeps its client after "%s": that may pass', async (message) => {
    const world = new World();
    const { client } = start(world, { token: 'secret' });
    world.socket.fail(message);
    expect(client.state).toMatchObject({ status: 'waiting', reason: 'connection-lost' });
    await world.clock.advanceAsync(1_000);
    expect(world.sockets).toHaveLength(2);
  });

  it('is kept if an open connection fails, whatever the error text is', () => {
    const world = new World();
    const { client } = start(world, { token: 'secret' });
    world.socket.welcome();
    world.socket.fail('an error of the platform: 401');
    expect(client.state).toMatchObject({ status: 'waiting', reason: 'connection-lost' });
  });

  it('that is a ticket goes into the address, and each attempt gets another one', async () => {
    const world = new World();
    const { getToken, reasons } = withTokens(world);
    start(world, { getToken, auth: 'ticket', url: 'wss://game.example/ws?userId=7' });
    await settle();
    expect(world.socket.url).toBe('wss://game.example/ws?userId=7&ticket=token-1');
    expect(world.socket.protocols).toEqual(['lingxi.v1']);
    world.socket.welcome();
    world.socket.end(1011);
    await world.clock.advanceAsync(1_000);
    expect(world.socket.url).toBe('wss://game.example/ws?userId=7&ticket=token-2');
    world.socket.fail('Unexpected server response: 401');
    await world.clock.advanceAsync(2_000);
    expect(world.socket.url).toContain('ticket=token-3');
    expect(reasons()).toEqual(['start', 'start', 'expired']);
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

  it('that arrives after the client was closed opens nothing', async () => {
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
    expect(asked[1]).toEqual({ reason: 'renewal', at: begin + 479_000 });
    expect(world.socket.sent).toContainEqual({ type: 'token', data: { token: 'fresh' } });
    await world.clock.advanceAsync(20_000, 1_000);
    expect(asked[2]).toEqual({ reason: 'renewal', at: begin + 509_000 });
    await world.clock.advanceAsync(HOUR_MS, 10_000);
    expect(asked).toHaveLength(3);
    expect(world.sockets).toHaveLength(1);
  });

  it('that the server refuses at the renewal is requested again, 2.5 to 7.5 s later', async () => {
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

  it('is kept when a connection ends, even if the clock went back meanwhile', async () => {
    const world = new World();
    const { getToken, reasons } = withTokens(world);
    start(world, { getToken });
    await settle();
    world.socket.welcome();
    world.clock.stepWall(-HOUR_MS);
    world.socket.end(1006);
    await world.clock.advanceAsync(1_000);
    expect(world.sockets).toHaveLength(2);
    expect(reasons()).toEqual(['start']);
  });
});
