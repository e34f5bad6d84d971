import { describe, expect, it } from 'vitest';
import { type Connected, type Library, openLibrary, PING } from './library.ts';

/** When the server closed the socket, in ms from now; undefined if it did not within `withinMs`. */
function closedAfter({ clock }: Library, { socket }: Connected, withinMs = 30_000): number | undefined {
  for (let ms = 0; ms <= withinMs; ms += 1) {
    if (socket.code !== undefined) return ms;
    clock.advance(1);
  }
  return undefined;
}

/** Advances the clock by `forMs` while the client does something each second. */
function while_({ clock }: Library, forMs: number, each: () => void): void {
  for (let ms = 0; ms < forMs; ms += 1000) {
    clock.advance(1000);
    each();
  }
}

describe('heartbeat of connections', () => {
  it.each(['seed', 'lingxi.v1'] as const)(
    '[HB1] [HB4] a silent %s client is closed with 4100 after 10.0 to 10.1 s',
    (protocol) => {
      const library = openLibrary();
      const client = library.connect({ protocol });
      library.clock.advance(777);
      client.socket.hear(PING);
      const after = closedAfter(library, client);
      expect(after).toBeGreaterThanOrEqual(10_000);
      expect(after).toBeLessThanOrEqual(10_100);
      expect(client.socket.closes).toEqual([{ code: 4100, reason: 'heartbeat-timeout' }]);
      expect(library.manager.counters.detectionLag.count).toBe(1);
    },
  );

  it('[HB1] a client that pings each second stays', () => {
    const library = openLibrary();
    const { socket } = library.connect();
    while_(library, 120_000, () => socket.hear(PING));
    expect(socket.code).toBeUndefined();
    expect(library.manager.counters.heartbeats).toBe(120);
  });

  it('[HB2] any well-formed message of a client without lingxi.v1 counts as a ping', () => {
    const library = openLibrary();
    const { socket } = library.connect();
    while_(library, 60_000, () => socket.hear({ type: 'chat' }));
    expect(socket.code).toBeUndefined();
  });

  it('[HB2] neither pongs nor malformed messages keep a client without lingxi.v1 online after its last ping', () => {
    const library = openLibrary();
    const { socket } = library.connect();
    while_(library, 11_000, () => {
      socket.pong();
      socket.hear('not json');
      socket.hear('{"no":"type"}');
    });
    expect(socket.code).toBe(4100);
    expect(socket.pings).toBe(0);
  });

  it('[HB2] [HB3] a lingxi.v1 client in a background tab is pinged after 3 s of silence and kept by its pongs', () => {
    const library = openLibrary();
    const { socket } = library.connect({ protocol: 'lingxi.v1' });
    library.clock.advance(2900);
    expect(socket.pings).toBe(0);
    library.clock.advance(200);
    expect(socket.pings).toBe(1);
    socket.pong();
    let answered = 1;
    for (let ms = 0; ms < 60_000; ms += 100) {
      library.clock.advance(100);
      if (socket.pings > answered) {
        answered = socket.pings;
        socket.pong();
      }
    }
    expect(socket.code).toBeUndefined();
    expect(answered).toBeGreaterThanOrEqual(19);
    expect(answered).toBeLessThanOrEqual(21);
  });

  it('[HB2] the bytes that a lingxi.v1 client accepts prove its life', () => {
    const library = openLibrary({ readTimeoutMs: 15_000, writeTimeoutMs: 60_000 });
    const { socket } = library.connect({ protocol: 'lingxi.v1' });
    socket.block();
    library.manager.sendToUser(7, 'm', 'x'.repeat(100_000));
    while_(library, 60_000, () => socket.take(1));
    expect(socket.code).toBeUndefined();
    while_(library, 11_000, () => undefined);
    expect(socket.closes).toEqual([{ code: 4100, reason: 'heartbeat-timeout' }]);
  });

  it('[HB2] the bytes that a client without lingxi.v1 accepts prove nothing', () => {
    const library = openLibrary({ writeTimeoutMs: 60_000 });
    const { socket } = library.connect();
    socket.block();
    library.manager.sendToUser(7, 'm', 'x'.repeat(100_000));
    while_(library, 11_000, () => socket.take(1));
    expect(socket.closes).toEqual([{ code: 4100, reason: 'heartbeat-timeout' }]);
  });

  it('[HB4] in a burst of timeouts all are reported first, then some sockets are closed in each turn', () => {
    const library = openLibrary();
    const { clock, manager } = library;
    const clients = Array.from({ length: 95 }, (_, index) => library.connect({ userId: index + 1 }));
    const closed = (): number => clients.filter(({ socket }) => socket.code !== undefined).length;
    let ended = 0;
    manager.on('disconnected', () => {
      ended += 1;
    });
    const turns: { readonly closed: number; readonly ended: number }[] = [];
    const defer = clock.defer.bind(clock);
    clock.defer = (callback) =>
      defer(() => {
        const before = closed();
        callback();
        turns.push({ closed: closed() - before, ended });
      });
    clock.advance(10_200);
    const closing = turns.filter((turn) => turn.closed > 0);
    expect(closed()).toBe(95);
    expect(closing.map((turn) => turn.closed)).toEqual([...Array.from({ length: 9 }, () => 10), 5]);
    expect(closing[0]?.ended).toBe(95);
  });

  it('[HB3] the server does not ping a client that sends', () => {
    const library = openLibrary();
    const { socket } = library.connect({ protocol: 'lingxi.v1' });
    while_(library, 30_000, () => socket.hear(PING));
    expect(socket.pings).toBe(0);
  });

  it('[HB2] mode any: pongs prove life for clients without lingxi.v1 too', () => {
    const library = openLibrary({ heartbeatMode: 'any' });
    const { socket } = library.connect();
    while_(library, 30_000, () => socket.pong());
    expect(socket.code).toBeUndefined();
    library.clock.advance(3100);
    expect(socket.pings).toBe(1);
  });

  it('[HB2] mode client: messages only, for lingxi.v1 too', () => {
    const library = openLibrary({ heartbeatMode: 'client' });
    const silent = library.connect({ userId: 1, protocol: 'lingxi.v1' });
    const speaking = library.connect({ userId: 2, protocol: 'lingxi.v1' });
    while_(library, 12_000, () => {
      silent.socket.pong();
      speaking.socket.hear({ type: 'state', data: { value: 'background' } });
    });
    expect([silent.socket.code, speaking.socket.code]).toEqual([4100, undefined]);
    expect(silent.socket.pings).toBe(0);
  });

  it('closes by the read timeout if that comes first', () => {
    const library = openLibrary({ readTimeoutMs: 4000 });
    const client = library.connect();
    expect(closedAfter(library, client)).toBeLessThanOrEqual(4100);
    expect(client.socket.closes).toEqual([{ code: 4100, reason: 'read-timeout' }]);
  });

  it('bytes that prove no life reset the read timeout', () => {
    const library = openLibrary({ heartbeatTimeoutMs: 600_000, readTimeoutMs: 60_000 });
    const { socket } = library.connect();
    while_(library, 90_000, () => socket.pong());
    expect(socket.code).toBeUndefined();
    library.clock.advance(60_200);
    expect(socket.closes).toEqual([{ code: 4100, reason: 'read-timeout' }]);
  });

  it('[HB5] a loop that is blocked for 5 s logs nobody out', () => {
    const library = openLibrary();
    const { socket } = library.connect();
    library.clock.advance(8000);
    library.clock.stall(5000);
    socket.hear(PING);
    library.clock.advance(9900);
    expect(socket.code).toBeUndefined();
    library.clock.advance(300);
    expect(socket.code).toBe(4100);
  });

  it('[CR1] closes with 4003 when the token expires, and not before', () => {
    const library = openLibrary();
    const tokenExpiresAt = library.clock.now() + 20_000;
    const client = library.connect({ tokenExpiresAt });
    while_(library, 20_000 - 1000, () => client.socket.hear(PING));
    library.clock.advance(990);
    expect(client.socket.code).toBeUndefined();
    library.clock.advance(110);
    expect(client.socket.closes).toEqual([{ code: 4003, reason: 'token-expired' }]);
  });

  it('an expired token is found even while observed time is frozen', () => {
    const library = openLibrary();
    const { clock } = library;
    const standing = clock.monotonic.bind(clock);
    let looks = 0;
    // As on a real machine, two readings never have the same time.
    Object.assign(clock, {
      monotonic: () => {
        looks += 1;
        return standing() + looks * 1e-6;
      },
    });
    const client = library.connect({ tokenExpiresAt: clock.now() + 2000 });
    while_(library, 4000, () => client.socket.hear(PING));
    expect(client.socket.code).toBe(4003);
  });

  it('a renewed token moves the end, also to an earlier time', () => {
    const library = openLibrary();
    const { connection, socket } = library.connect({ tokenExpiresAt: library.clock.now() + 5000 });
    connection.renewToken(library.clock.now() + 15_000);
    while_(library, 14_000, () => socket.hear(PING));
    expect(socket.code).toBeUndefined();
    connection.renewToken(undefined);
    while_(library, 20_000, () => socket.hear(PING));
    expect(socket.code).toBeUndefined();
    connection.renewToken(library.clock.now() + 500);
    library.clock.advance(600);
    expect(socket.code).toBe(4003);
  });

  it('[CR1] after a stall, and while observed time is frozen, the token still ends at its exp', () => {
    const library = openLibrary();
    const { clock, manager } = library;
    const { socket } = library.connect({ tokenExpiresAt: clock.now() + 20_000 });
    clock.advance(5000);
    socket.hear(PING);
    clock.stall(14_950);
    clock.advance(40);
    expect(socket.code).toBeUndefined();
    clock.advance(100);
    expect(socket.closes).toEqual([{ code: 4003, reason: 'token-expired' }]);
    manager.time.freeze();
    const frozen = library.connect({ userId: 8, tokenExpiresAt: clock.now() + 60_000 }).socket;
    clock.advance(59_990);
    expect(frozen.code).toBeUndefined();
    clock.advance(110);
    expect(frozen.code).toBe(4003);
  });

  it('[CR1] a token that expired while the machine slept ends at the next tick', () => {
    const library = openLibrary();
    const { socket } = library.connect({ tokenExpiresAt: library.clock.now() + 3_600_000 });
    library.clock.stepWall(7_200_000);
    library.clock.advance(100);
    expect(socket.code).toBe(4003);
  });

  it('[CR1] if the wall clock is set back, the new clock decides', () => {
    const library = openLibrary();
    const { clock } = library;
    const { socket } = library.connect({ tokenExpiresAt: clock.now() + 5000 });
    clock.stepWall(-3_600_000);
    const other = library.connect({ userId: 8, tokenExpiresAt: clock.now() + 5000 }).socket;
    while_(library, 5050, () => {
      socket.hear(PING);
      other.hear(PING);
    });
    expect([socket.code, other.code]).toEqual([undefined, 4003]);
  });

  it('[CR1] ten thousand tokens that expire at one moment are all ended within 0.5 s', () => {
    const library = openLibrary();
    const tokenExpiresAt = library.clock.now() + 5000;
    const sockets = Array.from({ length: 10_000 }, (_, index) => {
      return library.connect({ userId: index + 1, tokenExpiresAt }).socket;
    });
    library.clock.advance(5500);
    expect(sockets.every(({ code }) => code === 4003)).toBe(true);
  });

  it('[CR3] closes the connections whose tokens are not newer than a revocation', () => {
    const library = openLibrary({ policy: 'multi' });
    const at = library.clock.now();
    const connect = (epoch: number, tokenIssuedAt?: number) =>
      library.connect({ epoch, ...(tokenIssuedAt === undefined ? {} : { tokenIssuedAt }) }).socket;
    const [older, same, newer, unknown] = [
      connect(1, at - 1),
      connect(2, at),
      connect(3, at + 1),
      connect(4),
    ];
    expect(library.manager.closeRevoked(7, at)).toBe(3);
    expect([older, same, newer, unknown].map((socket) => socket.closes)).toEqual([
      [{ code: 4003, reason: 'token-revoked' }],
      [{ code: 4003, reason: 'token-revoked' }],
      [],
      [{ code: 4003, reason: 'token-revoked' }],
    ]);
  });

  it('a token without expiry is not on the wheel', () => {
    const library = openLibrary();
    const { socket } = library.connect({ tokenExpiresAt: Number.MAX_SAFE_INTEGER });
    while_(library, 60_000, () => socket.hear(PING));
    expect(socket.code).toBeUndefined();
  });
});
