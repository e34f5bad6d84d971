import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { freePort } from '../../support/ports.ts';

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
