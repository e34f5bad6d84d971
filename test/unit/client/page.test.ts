import { describe, expect, it } from 'vitest';
import { open, start } from './players.ts';
import { World } from './world.ts';

const HOUR_MS = 3_600_000;

describe('heartbeats', () => {
  it('of a client without lingxi.v1 go out each second, without an answer', () => {
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

  it('detect a dead line before the server times out the user', () => {
    const world = new World();
    const { client } = start(world);
    world.socket.welcome();
    world.clock.advance(8_000);
    expect(client.state).toMatchObject({ status: 'waiting', reason: 'no-answer' });
    expect(world.socket.isClosed).toBe(true);
  });

  it.each(['online', 'pageshow', 'resume', 'visibilitychange'])(
    'require an answer within 2 s after %s',
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

  it('require an answer after a jump of the clock, and any frame counts', () => {
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

  it('do not count a deadline whose timer was late, but only once', () => {
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

  it("of a client without lingxi.v1 that slept longer than the server's timeout lead to a new socket", () => {
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
  it('closes the socket when it is left, and connects at once when it returns from the cache', () => {
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

  it('that was frozen reconnects by itself, even if the server closed with 4101 meanwhile', () => {
    const world = new World();
    const { client } = open(world);
    world.clock.stall(300_000);
    world.fire('resume');
    world.socket.end(4101, 'slow-consumer');
    world.clock.advance(1_000);
    world.socket.welcome();
    expect(client.state.status).toBe('open');
  });

  it('that is shown after the clock went back an hour does not wait for that hour', () => {
    const world = new World();
    const { client } = start(world);
    for (let round = 0; round < 4; round += 1) {
      if (round > 0) world.clock.advance((client.state.retryAt ?? 0) - world.clock.now());
      world.socket.end(1006);
    }
    world.clock.stepWall(-HOUR_MS);
    world.show();
    world.clock.advance(1_000);
    expect(world.sockets).toHaveLength(5);
    expect(client.state.status).toBe('connecting');
  });
});
