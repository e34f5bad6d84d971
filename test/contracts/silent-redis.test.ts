import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { RedisLink } from '../../src/redis/link.ts';
import { openRedisDatabase } from '../support/redis.ts';

const TIMEOUT_MS = 1_500;

describe('a Redis that accepts a connection and sends nothing', () => {
  const ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  it('[scenario 29] does not block a subscription: the next connection carries it', async () => {
    const redis = await openRedisDatabase();
    ends.push(() => redis.stop());
    const target = new URL(redis.url);
    const { hostname } = target;
    const port = Number(target.port);
    let connections = 0;
    const sockets = new Set<Socket>();
    const server = createServer((client) => {
      sockets.add(client.on('error', () => undefined));
      connections += 1;
      if (connections === 1) return;
      const upstream = connect(port, hostname);
      sockets.add(upstream.on('error', () => undefined));
      client.pipe(upstream).pipe(client);
    }).listen(0, '127.0.0.1');
    ends.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    await once(server, 'listening');
    target.port = String((server.address() as AddressInfo).port);
    const link = new RedisLink({ url: target.href, timeoutMs: TIMEOUT_MS });
    ends.push(() => link.disconnect());
    const subscriber = link.subscriber();
    expect(await subscriber.subscribe('silent-redis')).toBe(1);
    expect(connections).toBe(2);
  });
});
