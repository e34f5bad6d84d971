import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway, Runtime } from '../support/gateway-process.ts';
import { type Metrics, readMetrics } from '../support/metrics.ts';
import { eventually } from '../support/ports.ts';
import { openStalledReceiver, type StalledReceiver } from '../support/stalled-receiver.ts';
import { type Deployment, deploy, freshUser } from '../support/stores.ts';
import { BUN_AND_NODE, type Cluster, endAll, startCluster } from '../support/two-nodes.ts';
import { connect } from '../support/ws-client.ts';

type Policy = 'drop-newest' | 'drop-oldest' | 'conflate' | 'disconnect';
interface Asked {
  readonly data?: unknown;
  readonly priority?: 'high' | 'normal' | 'low';
  readonly key?: string;
  readonly ttlMs?: number;
}
const RUNTIMES: readonly Runtime[] = ['bun', 'node'];
const DROPPED = 'lingxi_messages_dropped_total';

/** Pushes one message, and returns its status, followed by the reason if there is one. */
async function push(gateway: Gateway, user: number, type: string, asked: Asked = {}): Promise<string> {
  const answer = await gateway.service('POST', '/api/messages', { to: { userId: user }, type, ...asked });
  expect(answer.status).toBe(200);
  const [result] = (answer.body as { results: { status: string; reason?: string }[] }).results;
  return [result?.status, result?.reason].filter((word) => word !== undefined).join(' ');
}

/** The growth of each series since this call. */
async function growth(gateway: Gateway): Promise<() => Promise<Metrics>> {
  const before = await readMetrics(gateway);
  return async () => {
    const after = await readMetrics(gateway);
    return (series) => after(series) - before(series);
  };
}

describe.concurrent.each(RUNTIMES)('the queue of a receiver that reads nothing on %s', (runtime) => {
  const deployments = new Map<Policy, Deployment>();
  const receivers: StalledReceiver[] = [];
  const on = async (policy: Policy) => {
    const gateway = deployments.get(policy)?.gateway;
    if (gateway === undefined) throw new Error(`no gateway with ${policy}`);
    const receiver = await openStalledReceiver(gateway, freshUser());
    receivers.push(receiver);
    const grown = await growth(gateway);
    const send = (type: string, asked?: Asked) => push(gateway, receiver.user, type, asked);
    return { receiver, grown, send };
  };
  const policies: readonly Policy[] = ['drop-newest', 'drop-oldest', 'conflate', 'disconnect'];
  beforeAll(async () => {
    const start = async (policy: Policy): Promise<void> => {
      // No receiver times out: the loss of its queue would be counted in a later test.
      const patient = { LINGXI_WRITE_TIMEOUT_MS: '120000', LINGXI_HEARTBEAT_TIMEOUT_MS: '120000' };
      const env = { LINGXI_OVERFLOW: policy, LINGXI_SEND_QUEUE: '3', ...patient };
      deployments.set(policy, await deploy({ runtime, kind: 'embedded', env }));
    };
    await Promise.all(policies.map(start));
  });
  afterAll(async () => {
    for (const receiver of receivers) receiver.destroy();
    await Promise.all([...deployments.values()].map((deployment) => deployment.stop()));
  });

  it.sequential('[DL4] high leaves before normal, normal before low, and each keeps its order', async () => {
    const { receiver, send } = await on('drop-newest');
    await send('low', { priority: 'low' });
    await send('normal');
    await send('high', { priority: 'high' });
    expect((await receiver.readUntil('low')).map(([type]) => type)).toEqual(['high', 'normal', 'low']);
    const order = await on('drop-newest');
    for (const data of [1, 2, 3]) await order.send('same', { priority: 'high', data });
    await order.receiver.readUntil('same');
    await order.send('last');
    const seen = await order.receiver.readUntil('last');
    expect(seen.map(([, data]) => data)).toEqual([1, 2, 3, null]);
  });

  it.sequential('[DL3] drop-newest: the newest message of a lower priority is dropped, else the new one', async () => {
    const { receiver, grown, send } = await on('drop-newest');
    const outcomes = [
      await send('low 1', { priority: 'low' }),
      await send('low 2', { priority: 'low' }),
      await send('normal 1'),
      await send('high', { priority: 'high' }),
      await send('normal 2'),
      await send('normal 3'),
      await send('low 3', { priority: 'low' }),
    ];
    expect(outcomes).toEqual([...new Array(5).fill('queued'), ...new Array(2).fill('dropped queue-full')]);
    const metric = await grown();
    expect(metric(`${DROPPED}{reason="queue-full"}`)).toBe(4);
    expect(metric('lingxi_messages_total{status="dropped"}')).toBe(4);
    expect(metric('lingxi_messages_total{status="queued"}')).toBe(5);
    const seen = await receiver.readUntil('normal 2');
    expect(seen.map(([type]) => type)).toEqual(['high', 'normal 1', 'normal 2']);
  });

  it.sequential('[DL3] drop-oldest: the oldest message of the lowest priority is dropped, never one of a higher priority', async () => {
    const { receiver, grown, send } = await on('drop-oldest');
    const outcomes = [
      await send('low 1', { priority: 'low' }),
      await send('low 2', { priority: 'low' }),
      await send('normal 1'),
      await send('low 3', { priority: 'low' }),
      await send('high', { priority: 'high' }),
      await send('normal 2'),
      await send('low 4', { priority: 'low' }),
    ];
    expect(outcomes).toEqual([...new Array(6).fill('queued'), 'dropped queue-full']);
    const metric = await grown();
    expect(metric(`${DROPPED}{reason="queue-full"}`)).toBe(4);
    expect(metric('lingxi_messages_total{status="dropped"}')).toBe(4);
    const seen = await receiver.readUntil('normal 2');
    expect(seen.map(([type]) => type)).toEqual(['high', 'normal 1', 'normal 2']);
  });

  it.sequential('[DL3] conflate: a message with a key replaces the one with its key at once; a full queue replaces by type', async () => {
    const { receiver, grown, send } = await on('conflate');
    expect(await send('score', { key: 'a', data: 1 })).toBe('queued');
    expect(await send('score', { key: 'a', data: 2 })).toBe('queued');
    expect((await grown())('lingxi_messages_replaced_total')).toBe(1);
    const outcomes = [
      await send('score', { key: 'b', data: 3 }),
      await send('score', { data: 4 }),
      await send('score', { data: 5 }),
      await send('score', { key: 'a', data: 6 }),
      await send('other', { data: 7 }),
      await send('score', { key: 'c', data: 8 }),
    ];
    expect(outcomes).toEqual([...new Array(4).fill('queued'), ...new Array(2).fill('dropped queue-full')]);
    const metric = await grown();
    expect(metric('lingxi_messages_replaced_total')).toBe(2);
    expect(metric(`${DROPPED}{reason="queue-full"}`)).toBe(3);
    expect(metric('lingxi_messages_total{status="dropped"}')).toBe(3);
    await receiver.readUntil('score');
    await send('end', { priority: 'low' });
    expect((await receiver.readUntil('end')).map(([, data]) => data)).toEqual([3, 5, 6, null]);
  });

  it.sequential('[DL3] disconnect: at any priority, the connection is closed and its queue is lost', async () => {
    const { receiver, grown, send } = await on('disconnect');
    for (const data of [1, 2, 3]) expect(await send('low', { priority: 'low', data })).toBe('queued');
    expect(await send('high', { priority: 'high' })).toBe('dropped queue-full');
    expect(await send('after')).toBe('offline no-connection');
    const metric = await grown();
    expect(metric(`${DROPPED}{reason="closed"}`)).toBe(3);
    expect(metric(`${DROPPED}{reason="queue-full"}`)).toBe(1);
    expect(metric('lingxi_messages_total{status="dropped"}')).toBe(4);
    receiver.destroy();
  });

  it.sequential.each(policies)(
    '[DL3] %s: an expired message is dropped as ttl, and makes room',
    async (policy) => {
      const { receiver, grown, send } = await on(policy);
      for (const data of [1, 2, 3]) expect(await send('short', { ttlMs: 300, data })).toBe('queued');
      await eventually(async () => expect((await grown())(`${DROPPED}{reason="ttl"}`)).toBe(3));
      expect((await grown())('lingxi_messages_total{status="dropped"}')).toBe(3);
      expect(await send('long', { ttlMs: 60_000 })).toBe('queued');
      expect((await receiver.readUntil('long')).map(([type]) => type)).toEqual(['long']);
      expect((await grown())(`${DROPPED}{reason="queue-full"}`)).toBe(0);
    },
  );

  it.sequential('[DL1] a socket that accepts everything gets a message at once, with any options of the push', async () => {
    const gateway = deployments.get('conflate')?.gateway as Gateway;
    const user = freshUser();
    const client = await connect(gateway.wsUrl, { token: gateway.token(user) });
    const asked: Asked = { priority: 'low', key: 'k', ttlMs: 10_000 };
    for (const data of [1, 2]) expect(await push(gateway, user, 'now', { ...asked, data })).toBe('written');
    await client.next('now');
    expect((await client.next('now')).data).toBe(2);
    client.terminate();
  });
});

describe('the options of a push between two nodes', () => {
  let cluster: Cluster;
  const ends: (() => void)[] = [];
  beforeAll(async () => {
    cluster = await startCluster({
      nodes: BUN_AND_NODE,
      timeoutMs: 120_000,
      env: {
        LINGXI_OVERFLOW: 'conflate',
        LINGXI_PUSH_RATE_PER_USER: '200',
        LINGXI_WRITE_TIMEOUT_MS: '120000',
      },
    });
  });
  afterAll(async () => {
    for (const end of ends) end();
    await cluster?.stop();
  });
  /** From each node to a user on the other node. */
  const WAYS = [
    ['Bun to Node', 0, 1],
    ['Node to Bun', 1, 0],
  ] as const;
  const sides = (from: number, to: number): readonly [Gateway, Gateway] => [
    cluster.node(from).gateway,
    cluster.node(to).gateway,
  ];

  it.each(WAYS)(
    '[DL4] %s: priority, key and ttlMs apply in the queue of the other node',
    async (_way, from, to) => {
      const [sender, holder] = sides(from, to);
      const { receiver, here, there, outcomes } = await eventually(async () => {
        const stalled = await openStalledReceiver(holder, freshUser(), sender);
        ends.push(() => stalled.destroy());
        const grown = { here: await growth(sender), there: await growth(holder) };
        const seen = [
          await push(sender, stalled.user, 'short', { ttlMs: 400 }),
          await push(sender, stalled.user, 'low', { priority: 'low' }),
          await push(sender, stalled.user, 'score', { key: 'a', data: 1 }),
          await push(sender, stalled.user, 'score', { key: 'a', data: 2 }),
          await push(sender, stalled.user, 'high', { priority: 'high' }),
        ];
        if (seen.includes('unknown')) throw new Error('the other node did not answer within 500 ms');
        return { receiver: stalled, ...grown, outcomes: seen };
      });
      expect(outcomes).toEqual(new Array(5).fill('queued'));
      await eventually(async () => expect((await there())(`${DROPPED}{reason="ttl"}`)).toBe(1));
      expect((await there())('lingxi_messages_replaced_total')).toBe(1);
      expect((await here())('lingxi_messages_total{status="queued"}')).toBe(5);
      expect(await receiver.readUntil('low')).toEqual([
        ['high', null],
        ['score', 2],
        ['low', null],
      ]);
    },
  );

  it.each(WAYS)('[DL6] %s: a node that was frozen delivers no expired message', async (_way, from, to) => {
    const [sender, holder] = sides(from, to);
    const user = freshUser();
    const client = await connect(holder.wsUrl, { token: holder.token(user) });
    ends.push(() => client.terminate());
    // On a busy machine, the other node may take longer than 500 ms.
    await eventually(async () => expect(await push(sender, user, 'before')).toBe('written'));
    holder.signalAll('SIGSTOP');
    try {
      // Each push waits 500 ms for the answer.
      expect(await push(sender, user, 'short', { ttlMs: 400 })).toBe('unknown');
      expect(await push(sender, user, 'long', { ttlMs: 60_000 })).toBe('unknown');
    } finally {
      holder.signalAll('SIGCONT');
    }
    await client.next('long');
    expect([...new Set(client.messages.map(({ type }) => type))]).toEqual(['before', 'long']);
  });

  it('[DL3] the rate of one user is one limit, whichever nodes the pushes come from', async () => {
    const user = freshUser();
    const [a, b] = sides(0, 1);
    const client = await connect(b.wsUrl, { token: b.token(user) });
    const before = [await growth(a), await growth(b)];
    const batch = Array.from({ length: 150 }, () => ({ to: { userId: user }, type: 'many' }));
    const began = performance.now();
    const answers = await Promise.all([a, b].map((node) => node.service('POST', '/api/messages', batch)));
    const seconds = Math.floor((performance.now() - began) / 1000) + 1;
    const counts = answers.flatMap(({ text }) => JSON.parse(text) as { results: { reason?: string }[] }[]);
    const dropped = counts.filter(({ results }) => results[0]?.reason === 'rate').length;
    expect(300 - dropped).toBeLessThanOrEqual(200 * seconds);
    if (seconds === 1) expect(dropped).toBe(100);
    const rated = await Promise.all(
      before.map(async (grown) => (await grown())(`${DROPPED}{reason="rate"}`)),
    );
    expect(rated.reduce((sum, count) => sum + count, 0)).toBe(dropped);
    endAll([client]);
  });
});
