import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, type Runtime, startGateway } from '../support/gateway-process.ts';
import { entryOf, nodesOf } from '../support/nodes-view.ts';
import { eventually, sleep } from '../support/ports.ts';
import { viewPresence } from '../support/presence-view.ts';
import { freshUser, openStores, type TestStores } from '../support/stores.ts';
import { tryConnect } from '../support/ws-client.ts';

const RUNTIMES: readonly Runtime[] = ['bun', 'node'];

describe.each(RUNTIMES)('two nodes on %s', (runtime) => {
  let stores: TestStores;
  let a: Gateway;
  let b: Gateway;
  const start = (name: string): Promise<Gateway> =>
    startGateway({ runtime, stores: stores.settings, env: { LINGXI_NODE_NAME: name } });
  beforeAll(async () => {
    stores = await openStores('redis+postgres');
    [a, b] = await Promise.all([start('a'), start('b')]);
    // The first login waits on a Redis that was just empty.
    await viewPresence({ gateway: a }).login(freshUser());
  });
  afterAll(async () => {
    await Promise.all([a?.stop(), b?.stop()]);
    await stores?.stop();
  });

  it('GET /api/nodes of each node shows every node with its users and connections', async () => {
    const user = freshUser();
    const before = await entryOf(a, 'b');
    const client = await viewPresence({ gateway: b }).seed(user);
    client.keepAlive();
    for (const gateway of [a, b]) {
      await eventually(async () => {
        expect(await entryOf(gateway, 'b')).toEqual({
          ...{ node: `b:${before.incarnation}`, name: 'b', incarnation: before.incarnation },
          ...{ state: 'live', leaseAgeMs: expect.any(Number), draining: false },
          ...{ users: before.users + 1, connections: (before.connections ?? 0) + 1 },
        });
      });
      await eventually(async () => expect((await entryOf(gateway, 'b')).leaseAgeMs).toBeLessThan(1_500));
    }
    expect((await nodesOf(a)).map(({ name }) => name).slice(0, 2)).toEqual(['a', 'b']);
    client.terminate();
  });

  it('GET /api/nodes needs the service key', async () => {
    expect((await a.call('GET', '/api/nodes')).status).toBe(401);
    expect((await a.call('GET', '/api/nodes', { token: a.token(freshUser()) })).status).toBe(403);
  });

  it('the reason of a kick reaches the socket on another node, in the close frame and in the timeline', async () => {
    const user = freshUser();
    const client = await viewPresence({ gateway: a }).seed(user);
    const reason = 'a|b: 作弊 ' + '🐉'.repeat(40);
    expect((await b.service('POST', `/api/users/${user}/disconnect`, { reason })).status).toBe(200);
    const closed = await client.closed;
    expect([closed.code, closed.reason]).toEqual([4002, 'a|b: 作弊 ' + '🐉'.repeat(27)]);
    const { body } = await a.service('GET', `/api/users/${user}/timeline`);
    expect((body['entries'] as unknown[])[0]).toMatchObject({ event: 'offline', cause: 'kick', reason });
  });

  it('[PR4] a node learns at once of a take-over on another node', async () => {
    const waits: number[] = [];
    for (let round = 0; round < 12; round += 1) {
      const user = freshUser();
      const old = await viewPresence({ gateway: a }).seed(user);
      // At any point of the half second between the old node's renewals.
      await sleep(round * 41);
      const next = await viewPresence({ gateway: b }).seed(user);
      const opened = performance.now();
      const closed = await old.closed;
      expect(closed.code).toBe(4001);
      waits.push(closed.at - opened);
      next.terminate();
    }
    // With renewals alone, only a fifth would be closed in time. A busy machine may delay a few.
    expect(waits.filter((ms) => ms < 100).length).toBeGreaterThanOrEqual(7);
  });

  it('[PR4] [PR6] the notice of a loss names the user, the statement and the reason', async () => {
    const subscriber = new Redis(stores.redis?.url ?? '');
    const heard: [topic: string, text: unknown][] = [];
    try {
      await subscriber.psubscribe('lingxi:*:lost:*');
      subscriber.on('pmessage', (_pattern: string, channel: string, text: string) =>
        heard.push([channel.replace(/^lingxi:\d+:/, ''), JSON.parse(text)]),
      );
      const user = freshUser();
      const old = await viewPresence({ gateway: a }).seed(user);
      const next = await viewPresence({ gateway: b }).seed(user);
      expect((await old.closed).code).toBe(4001);
      expect((await a.service('POST', `/api/users/${user}/disconnect`, { reason: 'x|y' })).status).toBe(200);
      expect((await next.closed).code).toBe(4002);
      await subscriber.ping();
      expect(heard).toEqual([
        [`lost:${(await entryOf(b, 'a')).node}`, { lost: [[user, expect.any(Number), 'replaced']] }],
        [`lost:${(await entryOf(a, 'b')).node}`, { lost: [[user, expect.any(Number), 'kick', 'x|y']] }],
      ]);
    } finally {
      subscriber.disconnect();
    }
  });

  it('[PR4] an invalid notice is logged and closes no connection, and the node receives the next one', async () => {
    const user = freshUser();
    const old = await viewPresence({ gateway: a }).seed(user);
    const channels = (await stores.redis?.cli('PUBSUB', 'CHANNELS', 'lingxi:*:lost:a:*')) ?? '';
    expect(await stores.redis?.cli('PUBLISH', channels, `{"lost":[[${user},1e9,"because"]]}`)).toBe('1');
    await a.waitForLog('malformed-message', ({ channel }) => String(channel).startsWith('lost:a:'));
    const opened = performance.now();
    const next = await viewPresence({ gateway: b }).seed(user);
    const closed = await old.closed;
    expect(closed.code).toBe(4001);
    expect(closed.at).toBeGreaterThan(opened);
    next.terminate();
  });

  it('[scenario 12] [PR4] a node that missed the notice of a take-over learns of it with its next renewal', async () => {
    const user = freshUser();
    const old = await viewPresence({ gateway: a }).seed(user);
    await stores.redis?.cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
    const next = await viewPresence({ gateway: b }).seed(user);
    const opened = performance.now();
    const closed = await old.closed;
    expect(closed.code).toBe(4001);
    expect(closed.at - opened).toBeLessThan(2_000);
    next.terminate();
    // The channel works again for the next tests.
    await eventually(async () => {
      const channels = (await stores.redis?.cli('PUBSUB', 'CHANNELS', 'lingxi:0:*')) ?? '';
      expect(channels.split('\n').filter((name) => /:(lost|node):/.test(name))).toHaveLength(4);
    });
  });

  it('[DR1] POST /api/drain drains another node by its name, and DELETE cancels that', async () => {
    const view = viewPresence({ gateway: b });
    const client = await view.v1(freshUser());
    const { node, incarnation } = await entryOf(a, 'b');
    const answer = await a.service('POST', '/api/drain', { node: 'b' });
    expect([answer.status, answer.body]).toEqual([200, { node, draining: true }]);
    expect((await client.next('goodbye')).data).toMatchObject({ code: 1012 });
    expect((await client.closed).code).toBe(1012);
    expect((await b.call('GET', '/readyz')).body['code']).toBe('draining');
    expect(await tryConnect(b.wsUrl, { token: b.token(freshUser()) })).toMatchObject({ status: 503 });
    await eventually(async () => expect((await entryOf(a, 'b')).draining).toBe(true));
    expect((await a.call('GET', '/readyz')).status).toBe(200);
    const audit = await a.waitForLog('audit', (line) => line['action'] === 'drain');
    expect(audit['node']).toBe(node);
    await b.waitForLog('draining', (line) => String(line['by']).startsWith('a:'));

    const back = await a.service('DELETE', '/api/drain', { node: incarnation });
    expect([back.status, back.body]).toEqual([200, { node, draining: false }]);
    expect((await b.call('GET', '/readyz')).status).toBe(200);
    await a.waitForLog('audit', (line) => line['action'] === 'end-drain' && line['node'] === node);
    await eventually(async () => expect((await entryOf(a, 'b')).draining).toBe(false));
  });

  it('the refusal of a drain of an unknown node names the node, not the address', async () => {
    const answer = await a.service('POST', '/api/drain', { node: 'nobody' });
    expect([answer.status, answer.body['code']]).toEqual([404, 'not-found']);
    expect(answer.body['error']).toMatch(/^No living node has this name.* \(this node is a:/);
    const chinese = await a.call('POST', '/api/drain', {
      ...{ token: a.apiKey, body: { node: 'nobody' }, headers: { 'accept-language': 'zh' } },
    });
    expect(chinese.body['error']).toMatch(/^没有使用该名称的存活节点.*（当前节点是 a:\w+）$/);
  });

  it('[DR1] the other node learns of a drain at once, not with the next regular report', async () => {
    // Announcements come every 2 s. Each change follows the one that was just announced, so a regular report would take 2 s.
    for (const draining of [true, false, true, false, true, false]) {
      await b.service(draining ? 'POST' : 'DELETE', '/api/drain', {});
      await eventually(async () => expect((await entryOf(a, 'b')).draining).toBe(draining), {
        timeoutMs: 1_600,
        intervalMs: 20,
      });
    }
  });

  it('[PR12] the timeline shows a take-over by another node with both sockets', async () => {
    const user = freshUser();
    const first = await viewPresence({ gateway: a }).v1(user);
    const second = await viewPresence({ gateway: b }).v1(user);
    await first.closed;
    await eventually(async () => {
      const { body } = await a.service('GET', `/api/users/${user}/timeline`);
      const entries = body['entries'] as readonly Readonly<Record<string, unknown>>[];
      expect(entries.map(({ event, cause }) => `${String(event)}: ${String(cause)}`)).toEqual([
        'connected: socket',
        'replaced: newer-connection',
        'online: login',
      ]);
      expect(entries.map(({ node }) => String(node).slice(0, 2))).toEqual(['b:', 'a:', 'a:']);
    });
    second.terminate();
  });

  it('[DR1] POST /api/drain gets 404 for an unknown node, and 504 after 1 s for a silent one', async () => {
    const unknown = await a.service('POST', '/api/drain', { node: 'c' });
    expect([unknown.status, unknown.body['code']]).toEqual([404, 'not-found']);
    b.signalAll('SIGSTOP');
    try {
      const before = performance.now();
      const silent = await a.service('POST', '/api/drain', { node: 'b' });
      expect([silent.status, silent.body['code']]).toEqual([504, 'node-silent']);
      expect(performance.now() - before).toBeLessThan(4_000);
    } finally {
      b.signalAll('SIGCONT');
    }
    // The node stood still for longer than a call of Redis may take, so it may have to restore its holds first.
    await eventually(async () => {
      expect((await a.service('DELETE', '/api/drain', { node: 'b' })).status).toBe(200);
      expect((await b.call('GET', '/readyz')).status).toBe(200);
    });
  });
});

describe('one node with embedded stores', () => {
  it.concurrent.each(RUNTIMES)('GET /api/nodes shows itself on %s', async (runtime) => {
    const gateway = await startGateway({ runtime, stores: 'embedded', env: { LINGXI_NODE_NAME: 'solo' } });
    try {
      const client = await viewPresence({ gateway }).seed(freshUser());
      await gateway.service('POST', '/api/drain', { node: 'solo' });
      await client.closed;
      await eventually(async () => {
        const [entry, ...others] = await nodesOf(gateway);
        expect(others).toEqual([]);
        expect(entry).toMatchObject({
          ...{ name: 'solo', state: 'live', leaseAgeMs: 0, users: 1, connections: 0, draining: true },
        });
      });
      expect((await gateway.service('POST', '/api/drain', { node: 'other' })).status).toBe(404);
    } finally {
      await gateway.stop();
    }
  });
});
