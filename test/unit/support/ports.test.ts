import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Aborted, eventually, freePort } from '../../support/ports.ts';

describe('ports of the tests', () => {
  it('no port is given again soon, even if nothing listens on it yet', async () => {
    const ports = new Set<number>();
    for (let index = 0; index < 200; index += 1) ports.add(await freePort());
    expect(ports.size).toBe(200);
  });

  it('the kernel gives none of them, nor the bus of a Redis Cluster above them, to another program', async () => {
    expect(await freePort()).toBeLessThan(32_768 - 10_000);
  });

  it('a port that is in use is skipped', async () => {
    const next = (await freePort()) + 1;
    const server = createServer().listen(next, '127.0.0.1');
    await Promise.race([once(server, 'listening'), once(server, 'error')]);
    expect(await freePort()).not.toBe(next);
    server.close();
  });

  it('two processes take ports from different blocks', async () => {
    // A second instance of the module knows as little about the first as another process does.
    const again = '../../support/ports.ts?again';
    const other = (await import(again)) as { freePort: typeof freePort };
    expect(other.freePort).not.toBe(freePort);
    const [here, there] = [new Set<number>(), new Set<number>()];
    for (let index = 0; index < 255; index += 1) {
      here.add(await freePort());
      there.add(await other.freePort());
    }
    expect([...here].filter((port) => there.has(port))).toEqual([]);
  });
});

describe('a wait of the tests', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** The times of all looks, in ms, if the event comes at `eventAt`. */
  async function looksUntil(eventAt: number, options: Parameters<typeof eventually>[1]): Promise<number[]> {
    const began = performance.now();
    const looks: number[] = [];
    const wait = eventually(() => {
      const now = performance.now() - began;
      looks.push(now);
      if (now < eventAt) throw new Error('not yet');
    }, options).catch(() => undefined);
    await vi.advanceTimersByTimeAsync(60_000);
    await wait;
    return looks;
  }

  it('looks often at first, and in a long wait a few times a second', async () => {
    const looks = await looksUntil(10_000, {});
    expect(looks.slice(0, 4)).toEqual([0, 25, 50, 75]);
    expect(looks.length).toBeLessThan(80);
    expect(looks.at(-1)).toBeLessThan(10_250);
  });

  it('looks at regular times if the caller says so', async () => {
    expect(await looksUntil(100, { intervalMs: 20 })).toEqual([0, 20, 40, 60, 80, 100]);
  });

  it('looks for the last time at the end, and passes the last error on', async () => {
    const looks = await looksUntil(Number.POSITIVE_INFINITY, { timeoutMs: 3_000 });
    expect(looks.at(-1)).toBe(3_000);
    const failed = eventually(() => Promise.reject(new Error('still not')), { timeoutMs: 50 }).catch(String);
    await vi.advanceTimersByTimeAsync(100);
    expect(await failed).toBe('Error: still not');
  });

  it('ends at once if the event can no longer come', async () => {
    await expect(eventually(() => Promise.reject(new Aborted('the process ended')))).rejects.toThrow('ended');
  });
});
