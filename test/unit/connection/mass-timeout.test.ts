import { describe, expect, it } from 'vitest';
import { type LogFields, silentLog } from '../../../src/logging/log.ts';
import { type Connected, openLibrary, PING } from './library.ts';

const SHARE = 0.2;

/** `count` users who connected at the same time. */
function crowd(library: ReturnType<typeof openLibrary>, count: number): readonly Connected[] {
  return Array.from({ length: count }, (_, index) =>
    library.connect({ userId: index + 1, epoch: 1000 + index }),
  );
}

/** Advances the clock by `seconds` while these clients send a heartbeat each second. */
function beat(library: ReturnType<typeof openLibrary>, seconds: number, clients: readonly Connected[]): void {
  for (let second = 0; second < seconds; second += 1) {
    library.clock.advance(1000);
    for (const { socket } of clients) socket.hear(PING);
  }
}

const closed = (clients: readonly Connected[]): number =>
  clients.filter(({ socket }) => socket.code === 4100).length;

describe('mass-timeout breaker', () => {
  it('[HB6] more than the share going silent within one second are held back for one more timeout, then logged out', () => {
    const library = openLibrary({ massTimeoutShare: SHARE });
    const clients = crowd(library, 300);
    const silent = clients.slice(0, 100);
    beat(library, 15, clients.slice(100));
    expect(closed(silent)).toBe(0);
    expect(library.manager.counters.massTimeoutsHeld).toBe(100);
    beat(library, 6, clients.slice(100));
    expect(closed(silent)).toBe(100);
    expect(closed(clients.slice(100))).toBe(0);
    expect(library.manager.counters.massTimeoutsHeld).toBe(100);
  });

  it('[HB6] all users who go silent within one second are held back, the last of them too', () => {
    const library = openLibrary({ massTimeoutShare: SHARE });
    const clients: Connected[] = [];
    for (let index = 0; index < 450; index += 1) {
      clients.push(library.connect({ userId: index + 1, epoch: 1000 + index }));
      library.clock.advance(2);
    }
    library.clock.advance(12_000);
    expect(closed(clients)).toBe(0);
    expect(library.manager.counters.massTimeoutsHeld).toBe(450);
  });

  it('[HB6] one line reports a mass timeout with all held users, in any number of groups', () => {
    const lines: LogFields[] = [];
    const library = openLibrary({
      massTimeoutShare: SHARE,
      log: { ...silentLog, error: (fields) => void lines.push(fields) },
    });
    for (let userId = 1; userId <= 300; userId += 1) {
      library.connect({ userId });
      library.clock.advance(5);
    }
    library.clock.advance(9_000);
    expect(library.manager.counters.massTimeoutsHeld).toBeGreaterThan(50);
    library.clock.advance(3_000);
    expect(lines).toEqual([{ event: 'mass-timeout-held', held: 300, users: 300 }]);
    library.clock.advance(12_000);
    for (let userId = 1; userId <= 100; userId += 1) library.connect({ userId });
    library.clock.advance(12_000);
    expect(lines.slice(1)).toEqual([{ event: 'mass-timeout-held', held: 100, users: 100 }]);
  });

  it('[HB6] a mass timeout that goes on has a line each ten seconds, and one when the node stops', () => {
    const counts: unknown[] = [];
    const library = openLibrary({
      massTimeoutShare: 0.02,
      log: { ...silentLog, error: ({ held }) => void counts.push(held) },
    });
    for (let userId = 1; userId <= 900; userId += 1) {
      library.connect({ userId });
      library.clock.advance(15);
    }
    library.clock.advance(9_000);
    expect(counts).toHaveLength(1);
    library.manager.close();
    expect(counts).toHaveLength(2);
    expect(Number(counts[0]) + Number(counts[1])).toBe(900);
  });

  it('[HB6] a user who sends a heartbeat while held back stays, and times out as usual the next time', () => {
    const library = openLibrary({ massTimeoutShare: SHARE });
    const clients = crowd(library, 300);
    beat(library, 12, clients.slice(100));
    beat(library, 1, clients);
    const [alone] = clients;
    beat(library, 9, clients.slice(1));
    expect(alone?.socket.code).toBeUndefined();
    beat(library, 2, clients.slice(1));
    expect(alone?.socket.code).toBe(4100);
  });

  it.each([
    { what: 'fewer than fifty, whatever their share', users: 60, silent: 49, share: SHARE },
    { what: 'not more than the share', users: 400, silent: 80, share: SHARE },
    { what: 'switched off', users: 300, silent: 300, share: 0 },
  ])('[HB6] nobody is held back: $what', ({ users, silent, share }) => {
    const library = openLibrary({ massTimeoutShare: share });
    const clients = crowd(library, users);
    beat(library, 11, clients.slice(silent));
    expect(closed(clients.slice(0, silent))).toBe(silent);
    expect(library.manager.counters.massTimeoutsHeld).toBe(0);
  });

  it('[HB6] silence spread over more than a second is no mass timeout', () => {
    const library = openLibrary({ massTimeoutShare: SHARE });
    const clients = crowd(library, 300);
    // Ten users a second become silent: never more than ten within one second.
    for (let second = 0; second < 20; second += 1) beat(library, 1, clients.slice(second * 10));
    beat(library, 11, clients.slice(200));
    expect(closed(clients.slice(0, 200))).toBe(200);
    expect(library.manager.counters.massTimeoutsHeld).toBe(0);
  });
});
