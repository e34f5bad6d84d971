import { describe, expect, it } from 'vitest';
import { type Connected, openLibrary, PING } from './library.ts';

const SHARE = 0.2;

/** `count` users, connected at one moment. */
function crowd(library: ReturnType<typeof openLibrary>, count: number): readonly Connected[] {
  return Array.from({ length: count }, (_, index) =>
    library.connect({ userId: index + 1, epoch: 1000 + index }),
  );
}

/** Lets `seconds` pass while these clients beat each second. */
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
    // Ten users a second fall silent: never more than ten within one second.
    for (let second = 0; second < 20; second += 1) beat(library, 1, clients.slice(second * 10));
    beat(library, 11, clients.slice(200));
    expect(closed(clients.slice(0, 200))).toBe(200);
    expect(library.manager.counters.massTimeoutsHeld).toBe(0);
  });
});
