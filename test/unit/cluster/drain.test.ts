import { describe, expect, it } from 'vitest';
import { Drain } from '../../../src/cluster/drain.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';

/** A node with some connections, and when each was closed. */
function createRoom(options: { connections: number; shutdownDelayMs?: number; drainTimeoutMs?: number }) {
  const clock = new FakeClock();
  const room = { connections: options.connections, closedAt: [] as number[], isRefusing: false };
  const drain = new Drain({
    clock,
    shutdownDelayMs: options.shutdownDelayMs ?? 0,
    drainTimeoutMs: options.drainTimeoutMs ?? 30_000,
    connections: () => room.connections,
    closeOne() {
      room.connections -= 1;
      room.closedAt.push(clock.monotonic());
    },
    refuse(refusing) {
      room.isRefusing = refusing;
    },
  });
  return { clock, drain, room };
}

describe('Drain', () => {
  it('[DR1] closes the first at once, the last after two thirds of the drain timeout, the others evenly between', () => {
    const { clock, drain, room } = createRoom({ connections: 11 });
    void drain.start();
    clock.advance(20_000);
    const even = Array.from({ length: 11 }, (_, index) => index * 2000);
    expect(room.closedAt).toHaveLength(11);
    for (const [index, at] of room.closedAt.entries())
      expect(Math.abs(at - (even[index] ?? 0))).toBeLessThan(50);
  });

  it('[DR1] keeps its pace with many clients, and if some leave or connect meanwhile', () => {
    const { clock, drain, room } = createRoom({ connections: 100_000, drainTimeoutMs: 30_000 });
    void drain.start();
    clock.advance(10_000);
    expect(Math.abs(room.closedAt.length - 50_000)).toBeLessThan(500);
    room.connections -= 30_000;
    const before = room.closedAt.length;
    clock.advance(5_000);
    expect(Math.abs(room.closedAt.length - before - 10_000)).toBeLessThan(50);
    room.connections += 10;
    clock.advance(5_000);
    expect(room.connections).toBe(0);
  });

  it('[DR1] serves and accepts for the shutdown delay, then refuses and closes', async () => {
    const { clock, drain, room } = createRoom({ connections: 1, shutdownDelayMs: 5000 });
    let isEmpty = false;
    void drain.start().then(() => {
      isEmpty = true;
    });
    clock.advance(4999);
    expect([drain.isDraining, room.isRefusing, room.connections]).toEqual([true, false, 1]);
    clock.advance(1);
    expect([drain.isDraining, room.isRefusing, room.connections]).toEqual([true, true, 0]);
    await Promise.resolve();
    expect(isEmpty).toBe(true);
  });

  it('[DR1] with a drain timeout of 0 closes everybody at once', () => {
    const { drain, room } = createRoom({ connections: 500, drainTimeoutMs: 0 });
    void drain.start();
    expect(room.connections).toBe(0);
  });

  it.each([1000, 6000])('is cancelled after %i ms: no further close, and it can begin again', (ms) => {
    const { clock, drain, room } = createRoom({ connections: 40, shutdownDelayMs: 5000 });
    void drain.start();
    clock.advance(ms);
    drain.cancel();
    const left = room.connections;
    clock.advance(60_000);
    expect([drain.isDraining, room.isRefusing, room.connections]).toEqual([false, false, left]);
    expect(left).toBeGreaterThan(30);
    void drain.start();
    clock.advance(25_000);
    expect(room.connections).toBe(0);
  });

  it('[DR1] a second request waits for the same drain', async () => {
    const { clock, drain, room } = createRoom({ connections: 3, drainTimeoutMs: 3000 });
    const first = drain.start();
    clock.advance(500);
    const second = drain.start();
    clock.advance(1500);
    await Promise.all([first, second]);
    expect(room.connections).toBe(0);
  });
});
