import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../support/gateway-process.ts';
import { readMetrics } from '../support/metrics.ts';
import { eventually } from '../support/ports.ts';
import { type Deployment, deploy, freshUser, ONE_OF_EACH } from '../support/stores.ts';
import { BUN_AND_NODE, type Cluster, startCluster } from '../support/two-nodes.ts';
import { type Client, connect } from '../support/ws-client.ts';

const REPEATED = 'lingxi_pushes_repeated_total';
const clients: Client[] = [];
afterAll(() => {
  for (const client of clients) client.terminate();
});

async function join(gateway: Gateway, user = freshUser()): Promise<{ user: number; client: Client }> {
  const client = await connect(gateway.wsUrl, {
    token: gateway.token(user),
    protocols: ['lingxi.v1'],
  });
  clients.push(client);
  await client.next('welcome');
  return { user, client };
}

const push = (gateway: Gateway, body: unknown) => gateway.service('POST', '/api/messages', body);

/** The types that the client got until a message that is pushed now. All earlier deliveries arrive before it. */
async function delivered(gateway: Gateway, { user, client }: Awaited<ReturnType<typeof join>>) {
  const last = `last ${client.messages.length}`;
  await push(gateway, { to: { userId: user }, type: last });
  await client.next(last);
  return client.messages
    .map(({ type }) => type)
    .filter((type) => type !== 'welcome' && !type.startsWith('last'));
}

let keys = 0;
/** A key with characters that are special in Redis, in JSON or on a terminal. */
function freshKey(): string {
  keys += 1;
  return `${process.pid}:{key} "\\ * 订单 🐉 ${keys}`;
}

describe.concurrent.each(ONE_OF_EACH)('idempotency keys on $runtime over $kind', ({ runtime, kind }) => {
  let deployment: Deployment;
  let gateway: Gateway;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind });
    ({ gateway } = deployment);
  });
  afterAll(() => deployment?.stop());

  it.sequential('[DL8] the same push again delivers nothing and gets the first answer', async () => {
    const receiver = await join(gateway);
    const absent = freshUser();
    const body = {
      to: { userIds: [absent, receiver.user, absent] },
      type: 'gift',
      data: { a: 1 },
      idempotencyKey: freshKey(),
    };
    const before = await readMetrics(gateway);
    const first = await push(gateway, body);
    expect(first.body).toEqual({
      results: [
        { userId: absent, status: 'offline', connections: 0 },
        { userId: receiver.user, status: 'written', connections: 1 },
      ],
      counts: { offline: 1, written: 1 },
    });
    // Whatever has changed since then.
    await join(gateway, absent);
    for (let times = 0; times < 3; times += 1) expect((await push(gateway, body)).body).toEqual(first.body);
    const after = await readMetrics(gateway);
    expect(after(REPEATED) - before(REPEATED)).toBe(3);
    const written = 'lingxi_messages_total{status="written"}';
    expect(after(written) - before(written)).toBe(1);
    expect(await delivered(gateway, receiver)).toEqual(['gift']);
  });

  it.sequential('[DL8] the same holds for a push to everybody and to nobody', async () => {
    const receiver = await join(gateway);
    for (const to of [{ all: true }, { userIds: [] }]) {
      const body = { to, type: 'news', idempotencyKey: freshKey() };
      const first = await push(gateway, body);
      expect((await push(gateway, body)).body).toEqual(first.body);
    }
    expect(await delivered(gateway, receiver)).toEqual(['news']);
  });

  it.sequential('[DL8] a repeated push to 10,000 users gets the whole answer again', async () => {
    const { user } = await join(gateway);
    const userIds = [...Array.from({ length: 9_999 }, (_, index) => 7_000_000 + index), user];
    const body = { to: { userIds }, type: 'list', idempotencyKey: freshKey() };
    const first = await push(gateway, body);
    expect(first.body).toMatchObject({ counts: { offline: 9_999, written: 1 } });
    expect((await push(gateway, body)).text).toBe(first.text);
  });

  it.sequential('[DL8] while the first is in progress, the same push waits for its answer', async () => {
    const receiver = await join(gateway);
    const body = {
      to: { userId: receiver.user },
      type: 'ask',
      ack: true,
      timeoutMs: 5000,
      idempotencyKey: freshKey(),
    };
    const calls = [1, 2, 3].map(() => push(gateway, body));
    const { id } = await receiver.client.next('ask');
    receiver.client.send({ type: 'ack', id });
    for (const answer of await Promise.all(calls))
      expect(answer.body).toMatchObject({ counts: { acked: 1 } });
    expect(await delivered(gateway, receiver)).toEqual(['ask']);
  });

  it.sequential('[DL8] other content under the same key is refused, in both languages, and not delivered', async () => {
    const receiver = await join(gateway);
    const first = { to: { userId: receiver.user }, type: 'a', data: 1, idempotencyKey: freshKey() };
    await push(gateway, first);
    const others = [
      { ...first, type: 'b' },
      { ...first, data: 2 },
      { ...first, to: { userId: freshUser() } },
      { ...first, to: { all: true } },
      { ...first, priority: 'high' },
      { ...first, ttlMs: 5 },
    ];
    for (const other of others) {
      const answer = await push(gateway, other);
      expect([answer.status, answer.body['code']]).toEqual([409, 'idempotency-key-reused']);
    }
    const chinese = await gateway.call('POST', '/api/messages', {
      service: true,
      body: others[0],
      headers: { 'accept-language': 'zh' },
    });
    expect(chinese.body['error']).toMatch(/幂等键/);
    expect(await delivered(gateway, receiver)).toEqual(['a']);
    expect((await push(gateway, { ...first, to: { userId: String(receiver.user) } })).status).toBe(200);
  });

  it.sequential('[DL4] [DL8] in a batch each message has its own key, and the order stays', async () => {
    const receiver = await join(gateway);
    const [one, two] = [freshKey(), freshKey()];
    const message = (type: string, idempotencyKey?: string) => ({
      to: { userId: receiver.user },
      type,
      ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    });
    const batch = [
      message('a'),
      message('b', one),
      message('c'),
      message('b', one),
      message('d', one),
      message('e', two),
      message('f'),
    ];
    const { status, text } = await push(gateway, batch);
    expect(status).toBe(200);
    const written = {
      results: [{ userId: receiver.user, status: 'written', connections: 1 }],
      counts: { written: 1 },
    };
    const reused = { code: 'idempotency-key-reused', error: expect.stringContaining('another message') };
    expect(JSON.parse(text)).toEqual([written, written, written, written, reused, written, written]);
    expect(await delivered(gateway, receiver)).toEqual(['a', 'b', 'c', 'e', 'f']);
  });

  it.sequential('[DL8] a batch of 1,000 keys is delivered once, in order', async () => {
    const receiver = await join(gateway);
    const batch = Array.from({ length: 1000 }, (_, data) => ({
      to: { userId: receiver.user },
      type: `n${data}`,
      idempotencyKey: freshKey(),
    }));
    const first = await push(gateway, batch);
    expect((await push(gateway, batch)).text).toBe(first.text);
    expect(await delivered(gateway, receiver)).toEqual(batch.map(({ type }) => type));
  });
});

describe('idempotency keys on two nodes', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: BUN_AND_NODE, timeoutMs: 10_000 });
  });
  afterAll(() => cluster?.stop());
  const node = (index: number): Gateway => cluster.node(index).gateway;

  it('[DL8] each node repeats an answer of the other node', async () => {
    for (const [first, second] of [
      [0, 1],
      [1, 0],
    ] as const) {
      const receiver = await join(node(second));
      const body = { to: { userId: receiver.user }, type: 'gift', idempotencyKey: freshKey() };
      const answer = await push(node(first), body);
      expect(answer.body).toMatchObject({ counts: { written: 1 } });
      expect((await push(node(second), body)).text).toBe(answer.text);
      const other = await push(node(second), { ...body, type: 'other' });
      expect(other.body['code']).toBe('idempotency-key-reused');
      expect(await delivered(node(first), receiver)).toEqual(['gift']);
    }
  });

  it('[DL8] a call to both nodes at once is delivered once, and gets one answer', async () => {
    const receiver = await join(node(1));
    const body = {
      to: { userId: receiver.user },
      type: 'ask',
      ack: true,
      timeoutMs: 5000,
      idempotencyKey: freshKey(),
    };
    const calls = [0, 1, 0, 1].map((index) => push(node(index), body));
    const { id } = await receiver.client.next('ask');
    receiver.client.send({ type: 'ack', id });
    for (const answer of await Promise.all(calls))
      expect(answer.body).toMatchObject({ counts: { acked: 1 } });
    expect(await delivered(node(0), receiver)).toEqual(['ask']);
  });

  it('[DL8] if the node of the first call died before its answer, a repeat is unknown and not delivered', async () => {
    const receiver = await join(node(1));
    const doomed = await cluster.add({ runtime: 'node', name: 'doomed' });
    const body = {
      to: { userId: receiver.user },
      type: 'ask',
      ack: true,
      timeoutMs: 10_000,
      idempotencyKey: freshKey(),
    };
    const lost = push(doomed.gateway, body).catch(() => undefined);
    await receiver.client.next('ask');
    await doomed.gateway.kill();
    await lost;
    // As if the first call had ended long ago: a key lives for 5 minutes.
    const name = `lingxi:once:${body.idempotencyKey}`;
    expect(await cluster.redis.cli('PEXPIRE', name, '280000')).toBe('1');
    for (const index of [0, 1]) {
      const answer = await push(node(index), body);
      expect(answer.body).toEqual({
        results: [{ userId: receiver.user, status: 'unknown', connections: 0 }],
        counts: { unknown: 1 },
      });
    }
    expect(await delivered(node(0), receiver)).toEqual(['ask']);
  });

  it('[DL8] a foreign value under a key is replaced and logged', async () => {
    const receiver = await join(node(0));
    const idempotencyKey = freshKey();
    await cluster.redis.cli('RPUSH', `lingxi:once:${idempotencyKey}`, 'foreign');
    const body = { to: { userId: receiver.user }, type: 'gift', idempotencyKey };
    const answer = await push(node(1), body);
    expect(answer.body).toMatchObject({ counts: { written: 1 } });
    expect((await push(node(0), body)).text).toBe(answer.text);
    expect(await node(1).waitForLog('foreign-value')).toMatchObject({ key: `lingxi:once:${idempotencyKey}` });
  });

  it('on the push channel a message with a key is malformed', async () => {
    const receiver = await join(node(0));
    const body = { to: { userId: receiver.user }, type: 'keyed', idempotencyKey: 'k' };
    await cluster.redis.cli('PUBLISH', 'lingxi:push', JSON.stringify(body));
    const line = await node(0).waitForLog('malformed-message', ({ field }) => field === 'idempotencyKey');
    expect(line).toMatchObject({ channel: 'lingxi:push' });
    expect(await delivered(node(0), receiver)).toEqual([]);
  });

  it('[DL8] while Redis does not answer, only pushes without a key are delivered', async () => {
    const receiver = await join(node(0));
    const to = { userId: receiver.user };
    const keyed = { to, type: 'keyed', idempotencyKey: freshKey() };
    cluster.redis.freeze();
    try {
      const answer = await push(node(0), keyed);
      expect([answer.status, answer.body['code']]).toEqual([503, 'presence-unavailable']);
      expect(answer.body['error']).toMatch(/nothing was delivered/);
      const batch = await push(node(0), [{ to, type: 'plain' }, keyed]);
      expect(JSON.parse(batch.text)).toMatchObject([
        { counts: { written: 1 } },
        { code: 'presence-unavailable' },
      ]);
    } finally {
      cluster.redis.thaw();
    }
    // Redis runs the claims when it continues. The nodes withdraw them, so that a retry does not count as a repeat.
    const again = await eventually(async () => {
      const answer = await push(node(1), keyed);
      expect(answer.status).toBe(200);
      return answer;
    });
    expect(again.body).toMatchObject({ counts: { written: 1 } });
    expect(await delivered(node(0), receiver)).toEqual(['plain', 'keyed']);
  });
});
