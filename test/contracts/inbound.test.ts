import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startGateway } from '../support/gateway-process.ts';
import { readMetrics } from '../support/metrics.ts';
import { eventually } from '../support/ports.ts';
import { viewPresence } from '../support/presence-view.ts';
import { startRedis } from '../support/redis.ts';
import { type Deployment, deploy, freshUser, openStores } from '../support/stores.ts';
import type { Client } from '../support/ws-client.ts';

const RUNTIMES = ['bun', 'node'] as const;
const INBOUND = 'lingxi:inbound';
/** Text that `JSON.parse` and `JSON.stringify` would change. */
const DATA = '{ "n":9007199254740993,"e":1e999,"z":-0,"a":1,"a":2 }';

const errorsOf = ({ messages }: Client): unknown[] =>
  messages.filter(({ type }) => type === 'error').map(({ data }) => data);
/** The server handles the messages of one connection in order. So after the pong, all messages before the ping are handled. */
async function untilHandled(client: Client): Promise<void> {
  client.ping();
  await client.next('pong');
}

describe.concurrent.each(RUNTIMES)('messages from clients on %s without Redis', (runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind: 'embedded' });
  });
  afterAll(() => deployment?.stop());
  const metric = async (outcome: string) =>
    (await readMetrics(deployment.gateway))(`lingxi_inbound_messages_total{outcome="${outcome}"}`);

  it('a type without a handler is counted, and a lingxi.v1 client gets an error frame', async () => {
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

describe.concurrent.each(RUNTIMES)('messages from clients on %s over Redis', (runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind: 'redis+postgres' });
  });
  afterAll(() => deployment?.stop());
  const metric = async (outcome: string) =>
    (await readMetrics(deployment.gateway))(`lingxi_inbound_messages_total{outcome="${outcome}"}`);
  const cli = (...args: string[]) => deployment.stores.redis?.cli(...args) ?? Promise.resolve('');

  it.sequential('are entries of the stream, in order, with unchanged data', async () => {
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
    // The server counts them when it has the answer of Redis.
    await eventually(async () => expect(await metric('written')).toBe(2));
    expect(errorsOf(client)).toEqual([]);
    client.terminate();
  });

  it.sequential('a client without lingxi.v1 gets no frame, and its message is written', async () => {
    const seed = await viewPresence(deployment).seed(freshUser());
    const before = await metric('written');
    seed.send({ type: 'chat', data: 1 });
    await eventually(async () => expect(await metric('written')).toBe(before + 1));
    expect(seed.messages).toEqual([]);
    seed.terminate();
  });

  it.sequential('[PR13] a foreign value under the key is replaced without losing a message', async () => {
    const client = await viewPresence(deployment).v1(freshUser());
    await cli('DEL', INBOUND);
    await cli('LPUSH', INBOUND, 'of another program');
    client.send({ type: 'chat', data: 'kept' });
    await eventually(async () => expect(await cli('XRANGE', INBOUND, '-', '+')).toContain('"kept"'));
    await deployment.gateway.waitForLog('foreign-value', ({ key }) => key === INBOUND);
    expect(errorsOf(client)).toEqual([]);
    client.terminate();
  });

  it.sequential('the stream is written again after Redis lost everything', async () => {
    const client = await viewPresence(deployment).v1(freshUser());
    await cli('FLUSHDB');
    client.send({ type: 'chat', data: 'after' });
    await eventually(async () => expect(await cli('XRANGE', INBOUND, '-', '+')).toContain('"after"'));
    client.terminate();
  });
});

describe.concurrent.each(RUNTIMES)('messages from clients while Redis is away on %s', (runtime) => {
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
        { timeoutMs: 20_000, intervalMs: 200 },
      );
      client.terminate();
    } finally {
      redis.thaw();
      await gateway.stop();
      await redis.stop();
      await stores.stop();
    }
  }, 60_000);
});

describe.concurrent.each(RUNTIMES)('the stream of messages from clients on %s', (runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    const env = { LINGXI_MAX_MESSAGE_BYTES: '16777216', LINGXI_MAX_MESSAGES_PER_SECOND: '5000' };
    deployment = await deploy({ runtime, kind: 'redis+postgres', env });
  });
  afterAll(() => deployment?.stop());
  const cli = (...args: string[]) => deployment.stores.redis?.cli(...args) ?? Promise.resolve('');
  /** Number of messages that this server has written since its start. */
  const untilWritten = (count: number) =>
    eventually(async () => {
      const { text } = await deployment.gateway.service('GET', '/metrics');
      expect(text).toContain(`lingxi_inbound_messages_total{outcome="written"} ${count}\n`);
    });

  it.sequential('takes about 64 MiB in Redis, however large the messages are', async () => {
    const client = await viewPresence(deployment).v1(freshUser());
    const data = 'x'.repeat(1_000_000);
    for (let n = 0; n < 120; n += 1) {
      client.send({ type: 'chat', id: n, data });
      if (n % 10 === 9) await untilWritten(n + 1);
    }
    await eventually(async () => {
      const bytes = Number(await cli('MEMORY', 'USAGE', INBOUND, 'SAMPLES', '0'));
      expect(bytes).toBeGreaterThan(55_000_000);
      expect(bytes).toBeLessThan(90_000_000);
    });
    expect(errorsOf(client)).toEqual([]);
    client.terminate();
  }, 60_000);

  it.sequential('[PR13] stays bounded if a foreign value under the key of its marks is replaced', async () => {
    await cli('DEL', INBOUND);
    await cli('SET', `${INBOUND}:marks`, 'of another program');
    await deployment.gateway.restart();
    const client = await viewPresence(deployment).v1(freshUser());
    const data = 'x'.repeat(8_000_000);
    for (let n = 1; n <= 14; n += 1) {
      client.send({ type: 'chat', data });
      await untilWritten(n);
    }
    expect(await deployment.gateway.waitForLog('foreign-value')).toMatchObject({ key: `${INBOUND}:marks` });
    await eventually(async () => expect(Number(await cli('XLEN', INBOUND))).toBeLessThan(12));
    client.terminate();
  }, 60_000);

  it.sequential('keeps about LINGXI_INBOUND_LENGTH entries, and 0 switches it off', async () => {
    const { gateway } = deployment;
    await cli('DEL', INBOUND, `${INBOUND}:marks`);
    await gateway.restart({ LINGXI_INBOUND_LENGTH: '10' });
    const client = await viewPresence({ gateway }).v1(freshUser());
    for (let n = 0; n < 1000; n += 1) client.send({ type: 'chat', data: n });
    await untilWritten(1000);
    expect(Number(await cli('XLEN', INBOUND))).toBeLessThan(300);
    await gateway.restart({ LINGXI_INBOUND_LENGTH: '0' });
    const later = await viewPresence({ gateway }).v1(freshUser());
    later.send({ type: 'chat', data: 1 });
    expect((await later.next('error')).data).toMatchObject({ code: 'unhandled-type' });
  }, 60_000);
});

function* pairs(lines: readonly string[]): Generator<[string, string]> {
  for (let at = 0; at + 1 < lines.length; at += 2) yield [lines[at] ?? '', lines[at + 1] ?? ''];
}
