import { expect } from 'vitest';
import { type Gateway, type Runtime, startGateway } from './gateway-process.ts';
import { readMetrics } from './metrics.ts';
import { eventually } from './ports.ts';
import { viewPresence } from './presence-view.ts';
import { openRedisDatabase } from './redis.ts';
import { type RedisDatabase, startPostgres, startRedis } from './services.ts';
import { createUsers, freshUser } from './stores.ts';
import type { Client } from './ws-client.ts';

export const STREAM = 'lingxi:push:stream';
export const REJECTED = 'lingxi:push:rejected';
export const GROUP = 'lingxi';
/** Another node takes an entry without an outcome after the timeout + 1 s. */
const ENV = {
  LINGXI_HEARTBEAT_TIMEOUT_MS: '4000',
  LINGXI_HTTP_TIMEOUT_MS: '4000',
  LINGXI_PING_INTERVAL_MS: '1200',
  LINGXI_PUSH_RATE_PER_USER: '0',
  LINGXI_SEND_QUEUE: '65536',
  LINGXI_MAX_MESSAGES_PER_SECOND: '100000',
  LINGXI_SEND_QUEUE_BYTES: '67108864',
};

/** One Redis with its PostgreSQL, and the actions of other programs on them. */
export const openScene = (runtime: Runtime) => sceneOn(runtime, openRedisDatabase());

/** The same on a Redis that the test may kill: it keeps its data. */
export const openSceneToKill = (runtime: Runtime) => sceneOn(runtime, startRedis({ persistence: true }));

async function sceneOn<Redis extends RedisDatabase>(runtime: Runtime, opening: Promise<Redis>) {
  const [redis, postgres] = await Promise.all([opening, startPostgres()]);
  await createUsers(postgres);
  const gateways: Gateway[] = [];
  const clients: Client[] = [];
  const { cli } = redis;
  return {
    redis,
    cli,
    async start(name: string, env: Readonly<Record<string, string>> = {}): Promise<Gateway> {
      const gateway = await startGateway({
        runtime,
        stores: { redisUrl: redis.url, databaseUrl: postgres.url },
        env: { ...ENV, LINGXI_NODE_NAME: name, ...env },
      });
      gateways.push(gateway);
      return gateway;
    },
    async join(gateway: Gateway, user = freshUser(), speaks: 'seed' | 'v1' = 'v1') {
      const client = await viewPresence({ gateway })[speaks](user);
      client.keepAlive(300);
      clients.push(client);
      return { user, client };
    },
    add: (message: string): Promise<string> => cli('XADD', STREAM, '*', 'message', message),
    /** Drains a node. Redis may still serve its cut read until that connection ends. So all connections that read count. */
    async drain(gateway: Gateway, { othersRead }: { readonly othersRead: number }): Promise<void> {
      expect((await gateway.service('POST', '/api/drain', {})).status).toBe(200);
      await eventually(async () => {
        const reading = (await cli('CLIENT', 'LIST')).match(/ cmd=xreadgroup /g) ?? [];
        expect(reading).toHaveLength(othersRead);
      });
    },
    untilEmpty: (timeoutMs = 10_000) =>
      eventually(async () => expect(await cli('XLEN', STREAM)).toBe('0'), { timeoutMs }),
    async outcomes(outcome: string): Promise<number> {
      const metrics = await Promise.all(gateways.map((gateway) => readMetrics(gateway)));
      return metrics
        .map((metric) => metric(`lingxi_push_stream_entries_total{outcome="${outcome}"}`))
        .reduce((sum, n) => sum + n, 0);
    },
    async stop() {
      for (const client of clients) client.terminate();
      await Promise.all(gateways.map((gateway) => gateway.stop()));
      await Promise.all([redis.stop(), postgres.stop()]);
    },
  };
}

export type Scene = Awaited<ReturnType<typeof openScene>>;

export const note = (user: number, data: unknown = 1, more: object = {}): string =>
  JSON.stringify({ to: { userId: user }, type: 'note', data, ...more });
