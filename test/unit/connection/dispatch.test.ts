import { describe, expect, it } from 'vitest';
import { type Connected, type Library, openLibrary } from './library.ts';

function crowd({ connect }: Library, size: number): Connected[] {
  return Array.from({ length: size }, (_, index) =>
    connect({ userId: index + 1, connectionId: `u${index + 1}` }),
  );
}

/** Each write takes this much time of the clock, as encoding and system calls do. */
function costly({ clock }: Library, crowded: readonly Connected[], ms: number): void {
  for (const { socket } of crowded) {
    const send = socket.send.bind(socket);
    socket.send = (text) => {
      clock.stall(ms);
      return send(text);
    };
  }
}

describe('messages to many', () => {
  it('[DL2] a broadcast reaches every user once and returns the outcome', async () => {
    const library = openLibrary({ policy: 'multi' });
    const everyone = crowd(library, 100);
    everyone.push(library.connect({ userId: 1, connectionId: 'second' }));
    const report = library.manager.broadcast('news', { n: 1 });
    library.clock.advance(0);
    expect(await report).toEqual({ results: undefined, counts: { written: 100 } });
    for (const { socket, connection } of everyone)
      expect(socket.envelopes).toMatchObject([{ type: 'news', userId: connection.userId, data: { n: 1 } }]);
  });

  it('[DL5] one slice ends after 20 ms at most', () => {
    const library = openLibrary();
    const everyone = crowd(library, 2000);
    costly(library, everyone, 0.1);
    const slices: number[] = [];
    const { clock } = library;
    const defer = clock.defer.bind(clock);
    Object.assign(clock, {
      defer: (callback: () => void) =>
        defer(() => {
          const before = clock.monotonic();
          callback();
          slices.push(clock.monotonic() - before);
        }),
    });
    void library.manager.broadcast('news', null);
    clock.advance(1000);
    expect(everyone.every(({ socket }) => socket.frames.length === 1)).toBe(true);
    expect(slices.length).toBeGreaterThan(10);
    expect(Math.max(...slices)).toBeLessThanOrEqual(20);
  });

  it('[DL4] a message to one user never overtakes an earlier broadcast', () => {
    const library = openLibrary();
    const everyone = crowd(library, 3);
    void library.manager.broadcast('first', null);
    void library.manager.broadcast('second', null);
    library.manager.sendToUser(2, 'third', null);
    void library.manager.broadcast('fourth', null);
    library.clock.advance(0);
    expect(everyone[1]?.socket.types).toEqual(['first', 'second', 'third', 'fourth']);
    expect(everyone[0]?.socket.types).toEqual(['first', 'second', 'fourth']);
  });

  it('[DL4] a message to one user never overtakes an earlier list with the user, but may overtake others', () => {
    const library = openLibrary();
    const everyone = crowd(library, 3);
    const { manager } = library;
    void manager.sendToUsers(new Set([1, 2]), manager.prepare('list', null));
    manager.sendToUser(2, 'direct', null);
    manager.sendToUser(3, 'direct', null);
    library.clock.advance(0);
    expect(everyone.map(({ socket }) => socket.types)).toEqual([['list'], ['list', 'direct'], ['direct']]);
  });

  it('a client that connects after a broadcast does not get it, not even with the same user id', async () => {
    const library = openLibrary();
    crowd(library, 2);
    const report = library.manager.broadcast('news', null);
    const late = library.connect({ userId: 3 });
    const again = library.connect({ userId: 1, epoch: 9000 });
    library.manager.sendToUser(1, 'direct', null);
    library.clock.advance(0);
    expect(late.socket.types).toEqual([]);
    expect(again.socket.types).toEqual(['direct']);
    expect((await report)?.counts).toEqual({ written: 1 });
  });

  it('a broadcast skips users who leave while it runs, and those who stay get it once', async () => {
    const library = openLibrary();
    const everyone = crowd(library, 300);
    costly(library, everyone, 0.5);
    const report = library.manager.broadcast('news', null);
    library.clock.advance(0.001);
    for (const { socket } of everyone.filter((_, index) => index % 2 === 1)) socket.end();
    library.clock.advance(10_000 / 100);
    for (const { socket, connection } of everyone.filter(({ connection: { isOpen } }) => isOpen))
      expect([connection.userId, socket.frames.length]).toEqual([connection.userId, 1]);
    expect((await report)?.counts.written).toBeGreaterThanOrEqual(150);
  });

  it('[DL1] a list returns an outcome for each user, absent and duplicate ones included', async () => {
    const library = openLibrary();
    const [, slow] = crowd(library, 2);
    slow?.socket.block();
    const { manager } = library;
    const report = manager.sendToUsers(new Set([1, 2, 99]), manager.prepare('list', null));
    library.clock.advance(0);
    const { results, counts } = (await report) ?? {};
    expect([...(results?.values() ?? [])]).toEqual([
      { userId: 1, status: 'written', connections: 1 },
      { userId: 2, status: 'queued', connections: 1 },
      { userId: 99, status: 'offline', connections: 0 },
    ]);
    expect(counts).toEqual({ written: 1, queued: 1, offline: 1 });
  });

  it('[DL3] the dispatch queue is bounded: if it is full, no user gets the message, and the caller learns that', async () => {
    const library = openLibrary({ dispatchQueue: 2 });
    const [only] = crowd(library, 1);
    const taken = [library.manager.broadcast('a', null), library.manager.broadcast('b', null)];
    expect(library.manager.broadcast('c', null)).toBeUndefined();
    expect(library.manager.sendToUsers(new Set([1]), library.manager.prepare('d', null))).toBeUndefined();
    expect(library.manager.dispatchQueueDepth).toBe(2);
    // The manager decides the outcome of a broadcast, so it counts the one that no user gets.
    expect(library.manager.counters.messages.dropped).toBe(library.manager.onlineCount());
    expect(library.manager.counters.dropped['dispatch-full']).toBe(library.manager.onlineCount());
    library.clock.advance(0);
    for (const report of taken) await report;
    expect(only?.socket.types).toEqual(['a', 'b']);
    expect(library.manager.broadcast('e', null)).toBeDefined();
    library.clock.advance(0);
    expect(only?.socket.types).toEqual(['a', 'b', 'e']);
  });

  it('[DL3] the default bound is 256', () => {
    const { manager } = openLibrary();
    const taken = Array.from({ length: 300 }, () => manager.broadcast('x', null)).filter(
      (job) => job !== undefined,
    );
    expect(taken).toHaveLength(256);
  });

  it('data without a JSON form is an error of the caller, and reaches no user', () => {
    const library = openLibrary();
    const [only] = crowd(library, 1);
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    expect(() => library.manager.sendToUser(1, 'x', circular)).toThrow(TypeError);
    expect(() => library.manager.broadcast('x', 1n)).toThrow(TypeError);
    expect(library.manager.sendToUser(1, 'x', undefined).status).toBe('written');
    expect(only?.socket.envelopes).toMatchObject([{ data: null }]);
  });
});
