import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startGateway } from '../support/gateway-process.ts';
import { readMetrics } from '../support/metrics.ts';
import { eventually } from '../support/ports.ts';
import { viewPresence } from '../support/presence-view.ts';
import { startRedis } from '../support/redis.ts';
import { type Deployment, deploy, freshUser, openStores } from '../support/stores.ts';
import type { Client } from '../support/ws-client.ts';

const INBOUND = 'lingxi:inbound';
/** What survives no `JSON.parse` and `JSON.stringify`. */
const DATA = '{ "n":9007199254740993,"e":1e999,"z":-0,"a":1,"a":2 }';

const errorsOf = ({ messages }: Client): unknown[] =>
  messages.filter(({ type }) => type === 'error').map(({ data }) => data);
/** The server handles the messages of one connection in order: what came before the ping has been handled. */
async function untilHandled(client: Client): Promise<void> {
  client.ping();
  await client.next('pong');
}

describe.each(['bun', 'node'] as const)('messages from clients on %s without Redis', (runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind: 'embedded' });
  });
  afterAll(() => deployment?.stop());
  const metric = async (outcome: string) =>
    (await readMetrics(deployment.gateway))(`lingxi_inbound_messages_total{outcome="${outcome}"}`);

  it('a type that nobody takes is counted, and a lingxi.v1 client gets an error frame', async () => {
    const [user, other] = [freshUser(), freshUser()];
    const client = await viewPresence(deployment).v1(user);
    const seed = await viewPresence(deployment).seed(other);
    const before = await metric('unhandled');
    seed.send({ type: 'chat', data: 1 });
    client.send({ type: 'chat', data: 1 });
    client.send({ type: 'x'.repeat(5000) });
    await untilHandled(client);
    const refused = { about: 'message', code: 'unhandled-type', message: expect.any(String) };
    expect(errorsOf(client)).toEqual([
      { ...refused, type: 'chat' },
      { ...refused, type: 'x'.repeat(128) },
    ]);
    await eventually(async () => expect(await metric('unhandled')).toBe(before + 3));
    expect(seed.messages).toEqual([]);
    expect(seed.socket.readyState).toBe(seed.socket.OPEN);
    client.terminate();
    seed.terminate();
  });
});

describe.each(['bun', 'node'] as const)('messages from clients on %s over Redis', (runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind: 'redis+postgres' });
  });
  afterAll(() => deployment?.stop());
  const metric = async (outcome: string) =>
    (await readMetrics(deployment.gateway))(`lingxi_inbound_messages_total{outcome="${outcome}"}`);
  const cli = (...args: string[]) => deployment.stores.redis?.cli(...args) ?? Promise.resolve('');

  it('are entries of the stream, in order, with their data unchanged', async () => {
    const user = freshUser();
    const client = await viewPresence(deployment).v1(user);
    const { data: welcome } = await client.next('welcome');
    const sentAt = Date.now();
    client.socket.send(`{"type":"chat","data":${DATA}}`);
    client.socket.send('{"type":"bare"}');
    await eventually(async () => expect(await cli('XLEN', INBOUND)).toBe('2'));
    const lines = (await cli('XRANGE', INBOUND, '-', '+')).split('\n');
    const { connectionId, node } = welcome as Record<string, string>;
    const entry = (at: number) => Object.fromEntries(pairs(lines.slice(at + 1, at + 13)));
    expect(entry(0)).toEqual({
      userId: String(user),
      type: 'chat',
      data: DATA,
      connectionId,
      node,
      at: expect.stringMatching(/^\d{13}$/),
    });
    expect(entry(13)).toMatchObject({ type: 'bare', data: 'null' });
    expect(Math.abs(Number(entry(0)['at']) - sentAt)).toBeLessThan(5000);
    expect(await metric('written')).toBe(2);
    expect(errorsOf(client)).toEqual([]);
    client.terminate();
  });

  it('a seed client gets nothing, its message is written', async () => {
    const seed = await viewPresence(deployment).seed(freshUser());
    const before = await metric('written');
    seed.send({ type: 'chat', data: 1 });
    await eventually(async () => expect(await metric('written')).toBe(before + 1));
    expect(seed.messages).toEqual([]);
    seed.terminate();
  });

  it('[PR13] a foreign value under the key is replaced, and no message is lost by it', async () => {
    const client = await viewPresence(deployment).v1(freshUser());
    await cli('DEL', INBOUND);
    await cli('LPUSH', INBOUND, 'of another program');
    client.send({ type: 'chat', data: 'kept' });
    await eventually(async () => expect(await cli('XRANGE', INBOUND, '-', '+')).toContain('"kept"'));
    await deployment.gateway.waitForLog('foreign-value', ({ key }) => key === INBOUND);
    expect(errorsOf(client)).toEqual([]);
    client.terminate();
  });

  it('the stream is written anew after Redis lost everything', async () => {
    const client = await viewPresence(deployment).v1(freshUser());
    await cli('FLUSHDB');
    client.send({ type: 'chat', data: 'after' });
    await eventually(async () => expect(await cli('XRANGE', INBOUND, '-', '+')).toContain('"after"'));
    client.terminate();
  });
});

describe.each(['bun', 'node'] as const)('messages from clients at their limits on %s', (runtime) => {
  it('[PR10] while Redis is away they are dropped and counted, and the client gets an error frame', async () => {
    const stores = await openStores('redis+postgres');
    const redis = await startRedis();
    const gateway = await startGateway({
      runtime,
      stores: stores.settings === 'embedded' ? 'embedded' : { ...stores.settings, redisUrl: redis.url },
      env: { LINGXI_REDIS_TIMEOUT_MS: '1000' },
    });
    const metric = async (outcome: string) =>
      (await readMetrics(gateway))(`lingxi_inbound_messages_total{outcome="${outcome}"}`);
    try {
      const client = await viewPresence({ gateway }).v1(freshUser());
      redis.freeze();
      client.send({ type: 'chat', data: 1 });
      const refused = { about: 'message', code: 'inbound-unavailable', type: 'chat' };
      expect((await client.next('error')).data).toMatchObject(refused);
      redis.thaw();
      await redis.kill();
      await gateway.waitForLog('presence-unavailable');
      client.send({ type: 'chat', data: 2 });
      expect((await client.next('error')).data).toMatchObject(refused);
      await eventually(async () => expect(await metric('dropped')).toBe(2));
      expect(await gateway.waitForLog('inbound-dropped')).toMatchObject({ cause: expect.any(String) });
      await redis.restart();
      await eventually(
        async () => {
          client.send({ type: 'chat', data: 'after' });
          expect(await redis.cli('XRANGE', INBOUND, '-', '+')).toContain('"after"');
        },
        { timeoutMs: 10_000, intervalMs: 200 },
      );
      client.terminate();
    } finally {
      redis.thaw();
      await gateway.stop();
      await redis.stop();
      await stores.stop();
    }
  });

  it('the stream takes about 64 MiB in Redis, however large the messages are', async () => {
    const { gateway, stores, stop } = await deploy({
      runtime,
      kind: 'redis+postgres',
      env: { LINGXI_MAX_MESSAGE_BYTES: '1048576', LINGXI_MAX_MESSAGES_PER_SECOND: '1000' },
    });
    try {
      const client = await viewPresence({ gateway }).v1(freshUser());
      const data = 'x'.repeat(1_000_000);
      for (let n = 0; n < 150; n += 1) {
        client.send({ type: 'chat', id: n, data });
        if (n % 10 !== 9) continue;
        await eventually(async () => {
          const { text } = await gateway.service('GET', '/metrics');
          expect(text).toContain(`lingxi_inbound_messages_total{outcome="written"} ${n + 1}\n`);
        });
      }
      const bytes = Number(await stores.redis?.cli('MEMORY', 'USAGE', INBOUND, 'SAMPLES', '0'));
      expect(bytes).toBeGreaterThan(55_000_000);
      expect(bytes).toBeLessThan(90_000_000);
      expect(errorsOf(client)).toEqual([]);
      client.terminate();
    } finally {
      await stop();
    }
  }, 60_000);

  it('[PR13] a foreign value in the place of the marks is replaced, and the stream stays bounded', async () => {
    const { gateway, stores, stop } = await deploy({
      runtime,
      kind: 'redis+postgres',
      env: { LINGXI_MAX_MESSAGE_BYTES: '16777216' },
    });
    const cli = (...args: string[]) => stores.redis?.cli(...args) ?? Promise.resolve('');
    try {
      await cli('SET', `${INBOUND}:marks`, 'of another program');
      const client = await viewPresence({ gateway }).v1(freshUser());
      const data = 'x'.repeat(8_000_000);
      for (let n = 1; n <= 14; n += 1) {
        client.send({ type: 'chat', data });
        await eventually(async () => {
          const { text } = await gateway.service('GET', '/metrics');
          expect(text).toContain(`lingxi_inbound_messages_total{outcome="written"} ${n}\n`);
        });
      }
      expect(await gateway.waitForLog('foreign-value')).toMatchObject({ key: `${INBOUND}:marks` });
      await eventually(async () => expect(Number(await cli('XLEN', INBOUND))).toBeLessThan(12));
      client.terminate();
    } finally {
      await stop();
    }
  }, 60_000);

  it('the stream keeps about LINGXI_INBOUND_LENGTH entries, and 0 switches it off', async () => {
    const { gateway, stores, stop } = await deploy({
      runtime,
      kind: 'redis+postgres',
      env: { LINGXI_INBOUND_LENGTH: '10', LINGXI_MAX_MESSAGES_PER_SECOND: '5000' },
    });
    try {
      const client = await viewPresence({ gateway }).v1(freshUser());
      for (let n = 0; n < 1000; n += 1) client.send({ type: 'chat', data: n });
      await eventually(async () => {
        const { text } = await gateway.service('GET', '/metrics');
        expect(text).toContain('lingxi_inbound_messages_total{outcome="written"} 1000');
      });
      expect(Number(await stores.redis?.cli('XLEN', INBOUND))).toBeLessThan(300);
      await gateway.restart({ LINGXI_INBOUND_LENGTH: '0' });
      const later = await viewPresence({ gateway }).v1(freshUser());
      later.send({ type: 'chat', data: 1 });
      expect((await later.next('error')).data).toMatchObject({ code: 'unhandled-type' });
    } finally {
      await stop();
    }
  });
});

function* pairs(lines: readonly string[]): Generator<[string, string]> {
  for (let at = 0; at + 1 < lines.length; at += 2) yield [lines[at] ?? '', lines[at + 1] ?? ''];
}
