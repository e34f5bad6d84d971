import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, type Runtime, startGateway } from '../support/gateway-process.ts';
import { readMetrics } from '../support/metrics.ts';
import { eventually } from '../support/ports.ts';
import { viewPresence } from '../support/presence-view.ts';
import { freshUser, openStores, type TestStores } from '../support/stores.ts';
import type { Client } from '../support/ws-client.ts';

const RUNTIMES: readonly Runtime[] = ['bun', 'node'];
const ENV = { LINGXI_HEARTBEAT_TIMEOUT_MS: '10000', LINGXI_PUSH_RATE_PER_USER: '100' };
/** Much more than the 500 ms after which the outcome is unknown, and much less than the time until the node counts as dead. */
const BUSY_MACHINE_MS = 3_000;

describe.each(RUNTIMES)('messages between two nodes on %s', (runtime) => {
  let stores: TestStores;
  let a: Gateway;
  let b: Gateway;
  const clients: Client[] = [];
  const start = (name: string, env = {}): Promise<Gateway> =>
    startGateway({ runtime, stores: stores.settings, env: { ...ENV, LINGXI_NODE_NAME: name, ...env } });
  const join = async (gateway: Gateway, user = freshUser(), speaks: 'seed' | 'v1' = 'seed') => {
    const client = await viewPresence({ gateway })[speaks](user);
    client.keepAlive();
    clients.push(client);
    return { user, client };
  };
  const database = (): string => new URL(stores.redis?.url ?? '').pathname.slice(1) || '0';
  const push = async (gateway: Gateway, message: object | string) => {
    const { status, body } = await gateway.service('POST', '/api/messages', message);
    expect(status).toBe(200);
    return body as { results?: Record<string, unknown>[]; counts: Record<string, number> };
  };
  /** The answer once no outcome is unknown: on a busy machine, the other node may take longer than 500 ms. */
  const known = (gateway: Gateway, message: object | string) =>
    eventually(async () => {
      const answer = await push(gateway, message);
      if ('unknown' in answer.counts) throw new Error('the other node did not answer within 500 ms');
      return answer;
    });
  beforeAll(async () => {
    stores = await openStores('redis+postgres');
    [a, b] = await Promise.all([start('a'), start('b')]);
    await viewPresence({ gateway: a }).login(freshUser());
  });
  afterAll(async () => {
    for (const client of clients) client.terminate();
    await Promise.all([a?.stop(), b?.stop()]);
    await stores?.stop();
  });

  it('[DL6] a message to a user on the other node is written there, with unchanged data', async () => {
    const { user, client } = await join(b);
    const text = `{"to":{"userId":${user}},"type":"note","data":{"n":9007199254740993,"e":1e999,"z":-0}}`;
    expect(await known(a, text)).toEqual({
      results: [{ userId: user, status: 'written', connections: 1 }],
      counts: { written: 1 },
    });
    const { data } = await client.next('note');
    expect(data).toEqual({ n: 9007199254740992, e: Number.POSITIVE_INFINITY, z: -0 });
  });

  it('[DL1] outcomes across nodes are those of one node', async () => {
    const [silent, polite, lingering, absent] = [
      await join(b, freshUser(), 'v1'),
      await join(b, freshUser(), 'v1'),
      freshUser(),
      freshUser(),
    ];
    await viewPresence({ gateway: b }).login(lingering);
    polite.client.socket.on('message', (data: Buffer) => {
      const { type, id } = JSON.parse(data.toString()) as { type: string; id?: string };
      if (type === 'ask') polite.client.send({ type: 'ack', id });
    });
    const { results, counts } = await known(a, {
      to: { userIds: [silent.user, polite.user, lingering, absent] },
      type: 'ask',
      data: 1,
      ack: true,
      // Enough time for the answer of the polite client on a busy machine.
      timeoutMs: 2_000,
    });
    expect(results).toEqual([
      { userId: silent.user, status: 'written', connections: 1 },
      { userId: polite.user, status: 'acked', connections: 1 },
      { userId: lingering, status: 'offline', connections: 0, reason: 'no-connection' },
      { userId: absent, status: 'offline', connections: 0 },
    ]);
    expect(counts).toEqual({ written: 1, acked: 1, offline: 2 });
  });

  it('[DL6] a list of 10,000 users on both nodes reaches those who are there', async () => {
    const here = await Promise.all(Array.from({ length: 10 }, () => join(a)));
    const there = await Promise.all(Array.from({ length: 10 }, () => join(b)));
    const users = [...here, ...there].map(({ user }) => user);
    const others = Array.from({ length: 10_000 - users.length }, (_, index) => 5_000_000 + index);
    const { results, counts } = await known(a, {
      to: { userIds: [...users, ...others] },
      type: 'list',
      data: null,
    });
    expect(counts).toEqual({ written: 20, offline: 9980 });
    expect(results).toHaveLength(10_000);
    await Promise.all([...here, ...there].map(({ client }) => client.next('list')));
  });

  it('[DL1] a message to all reaches every node, and the answer has the counts of all nodes', async () => {
    const [left, right] = [await join(a), await join(b)];
    const { results, counts } = await known(b, { to: { all: true }, type: 'everybody', data: 1 });
    expect(results).toBeUndefined();
    const connections = await Promise.all([a, b].map((node) => readMetrics(node)));
    const open = connections.map((metric) => metric('lingxi_connections')).reduce((sum, n) => sum + n, 0);
    expect(counts['written']).toBe(open);
    await Promise.all([left.client.next('everybody'), right.client.next('everybody')]);
  });

  it('[DL4] messages to a user on the other node keep their order', async () => {
    const { user, client } = await join(b);
    const batch = Array.from({ length: 50 }, (_, n) => ({ to: { userId: user }, type: 'n', data: n }));
    await push(a, batch);
    const seen: unknown[] = [];
    for (let n = 0; n < 50; n += 1) seen.push((await client.next('n')).data);
    expect(seen).toEqual(batch.map(({ data }) => data));
  });

  it('[DL6] if a frozen node does not answer for 500 ms, the outcome is unknown, never written', async () => {
    const c = await start('c');
    try {
      const { user } = await join(c);
      c.signalAll('SIGSTOP');
      const began = performance.now();
      const { results } = await push(a, { to: { userId: user }, type: 'x', data: 1 });
      const took = performance.now() - began;
      expect(results).toEqual([{ userId: user, status: 'unknown', connections: 0 }]);
      expect(took).toBeGreaterThanOrEqual(490);
      expect(took).toBeLessThan(BUSY_MACHINE_MS);
      const all = await push(a, { to: { all: true }, type: 'x', data: 1 });
      expect(all.counts['unknown']).toBe(1);
    } finally {
      c.signalAll('SIGCONT');
      await c.stop();
    }
  });

  it('[scenario 45] [DL6] a node that has just died gives no answer: unknown within 500 ms', async () => {
    const c = await start('c');
    const { user } = await join(c);
    await c.kill();
    const began = performance.now();
    const { results } = await push(a, { to: { userId: user }, type: 'x', data: 1 });
    expect(results).toEqual([{ userId: user, status: 'unknown', connections: 0 }]);
    expect(performance.now() - began).toBeLessThan(BUSY_MACHINE_MS);
    await c.stop();
  });

  it('[DL7] a lost frame between nodes is counted and logged', async () => {
    const { user, client } = await join(b);
    await push(a, { to: { userId: user }, type: 'x', data: 1 });
    const [, incarnation] = String((await a.waitForLog('started'))['node']).split(':');
    await stores.redis?.cli('HINCRBY', `lingxi:sent:a:${incarnation}`, `b:${await incarnationOf(b)}`, '3');
    await push(a, { to: { userId: user }, type: 'y', data: 1 });
    await client.next('y');
    expect(await b.waitForLog('node-frames-missed')).toMatchObject({ missed: 3, from: `a:${incarnation}` });
    expect((await readMetrics(b))('lingxi_node_frames_missed_total')).toBe(3);
  });

  it('[PR9] a new connection of a user, with a newer epoch, is reached from the other node', async () => {
    const { user, client } = await join(b);
    const epoch = () => stores.redis?.cli('HGET', `lingxi:u:${user}`, 'epoch');
    const before = await epoch();
    await stores.redis?.cli('HDEL', `lingxi:u:${user}`, `h:b:${await incarnationOf(b)}`);
    await eventually(async () => expect(Number(await epoch())).toBeGreaterThan(Number(before)), {
      timeoutMs: 15_000,
    });
    await eventually(async () => {
      const { counts } = await push(a, { to: { userId: user }, type: 'anew', data: 1 });
      expect(counts).toEqual({ written: 1 });
    });
    await client.next('anew');
  });

  it('garbage on the channel of a node is logged and changes nothing', async () => {
    const channel = `lingxi:${database()}:node:b:${await incarnationOf(b)}`;
    for (const text of ['', 'x', '[]', '{"n":1,"from":"z","kind":"parcel"}', '{"n":-1}', '['.repeat(5000)])
      await stores.redis?.cli('PUBLISH', channel, text);
    await b.waitForLog('malformed-message');
    const { user, client } = await join(b);
    await push(a, { to: { userId: user }, type: 'after', data: 1 });
    await client.next('after');
  });

  it('PUBLISH lingxi:push counts each message once in the whole deployment', async () => {
    const { user, client } = await join(b);
    const absent = freshUser();
    const total = async (status: string) => {
      const metrics = await Promise.all([a, b].map((node) => readMetrics(node)));
      return metrics
        .map((metric) => metric(`lingxi_messages_total{status="${status}"}`))
        .reduce((sum, n) => sum + n, 0);
    };
    const [written, offline, unknown] = [
      await total('written'),
      await total('offline'),
      await total('unknown'),
    ];
    for (const to of [{ userId: user }, { userId: absent }])
      await stores.redis?.cli('PUBLISH', 'lingxi:push', JSON.stringify({ to, type: 'published', data: 1 }));
    await client.next('published');
    await eventually(async () => expect(await total('offline')).toBe(offline + 1));
    await eventually(async () => expect(await total('written')).toBe(written + 1));
    expect(await total('unknown')).toBe(unknown);
  });
});

async function incarnationOf(gateway: Gateway): Promise<string> {
  return String((await gateway.waitForLog('started'))['node']).split(':')[1] ?? '';
}
