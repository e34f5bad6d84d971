import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freshUsers } from '../support/crowd.ts';
import { openSlowReceiver } from '../support/slow-receiver.ts';
import { type Cluster, type ClusterNode, startCluster } from '../support/two-nodes.ts';

const DRAIN_MS = 3_000;
/** Time for starting and ending the launcher on a busy machine. */
const SLACK_MS = 3_500;

// The tests of one node run one after the other; both nodes run at the same time.
describe.concurrent.each(['bun', 'node'] as const)('a stop in trouble on %s', (runtime) => {
  let cluster: Cluster;
  let node: ClusterNode;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: [{ runtime }], timeoutMs: 10_000 });
    node = cluster.node(0);
  });
  afterAll(() => cluster?.stop());

  /** Stops the node and returns how long that took. */
  const stop = async (): Promise<number> => {
    const began = performance.now();
    expect(await node.gateway.terminate()).toEqual({ code: 0, signal: null });
    return performance.now() - began;
  };

  it.sequential('[DR1] a node that was drained by HTTP stops without a second drain', async () => {
    const { gateway, view } = node;
    const client = await view.v1(freshUsers(1)[0] ?? 0);
    expect((await gateway.service('POST', '/api/drain')).status).toBe(200);
    await client.closed;
    expect(await stop()).toBeLessThan(DRAIN_MS / 2 + SLACK_MS);
    await gateway.restart();
  });

  it.sequential('[DR1] a client that accepts nothing does not delay the exit', async () => {
    const { gateway } = node;
    const [user = 0] = freshUsers(1);
    const receiver = await openSlowReceiver(gateway, { userId: user, bytesPerSecond: 0, speaksV1: true });
    const data = 'x'.repeat(100_000);
    for (let count = 0; count < 60; count += 1)
      await gateway.service('POST', '/api/messages', { to: { userId: user }, type: 'much', data });
    expect(await stop()).toBeLessThan(DRAIN_MS + SLACK_MS);
    receiver.destroy();
    await gateway.restart();
  });

  it.sequential.each(['postgres', 'redis'] as const)(
    '[DR1] exits with 0 while %s does not answer',
    async (store) => {
      const { gateway, view } = node;
      const [leaver = 0, stays = 0] = freshUsers(2);
      const client = await view.v1(stays);
      await client.next('welcome');
      await view.login(leaver);
      await cluster[store].freeze();
      if (store === 'postgres') await view.logout(leaver);
      const took = await stop().finally(() => cluster[store].thaw());
      expect((await client.closed).code).toBe(1012);
      expect(took).toBeLessThan(DRAIN_MS + SLACK_MS);
      await gateway.restart();
    },
  );
});
