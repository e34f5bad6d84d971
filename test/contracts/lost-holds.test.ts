import { describe, expect, it } from 'vitest';
import type { Runtime } from '../support/gateway-process.ts';
import { nodesOf } from '../support/nodes-view.ts';
import { eventually } from '../support/ports.ts';
import { freshUser } from '../support/stores.ts';
import { withCluster } from '../support/two-nodes.ts';

/** These tests mostly wait, but other tests run at the same time. */
const TIMEOUT_MS = 90_000;
const RUNTIMES: readonly Runtime[] = ['bun', 'node'];

describe('two nodes', () => {
  it.concurrent.each(RUNTIMES)(
    '[PR7] [PR9] after a logout a heartbeat by HTTP gets 404, even from a node whose socket Redis has lost, on %s',
    { timeout: TIMEOUT_MS },
    (runtime) =>
      withCluster(
        {
          nodes: [{ runtime }, { runtime }],
          timeoutMs: 4_000,
          env: { LINGXI_HTTP_TIMEOUT_MS: '20000' },
        },
        async (cluster) => {
          const [a, b] = [cluster.node(0), cluster.node(1)];
          const user = freshUser();
          const client = await b.view.v1(user, { autoPong: false });
          expect((await a.view.login(user)).status).toBe(200);
          b.gateway.signalAll('SIGSTOP');
          // Redis has removed the node's holds.
          await eventually(
            async () => expect((await nodesOf(a.gateway)).map(({ name }) => name)).toEqual(['a']),
            {
              timeoutMs: 15_000,
            },
          );
          b.gateway.signalAll('SIGCONT');
          await eventually(async () =>
            expect((await nodesOf(a.gateway)).map(({ name }) => name)).toEqual(['a', 'b']),
          );
          expect((await a.view.logout(user)).status).toBe(200);
          const codeOfHeartbeat = async () => (await b.view.heartbeat(user)).body['code'];
          // The node may not have noticed it yet.
          await eventually(async () => expect(await codeOfHeartbeat()).toBe('not-online'), {
            timeoutMs: 5_000,
          });
          for (let beat = 0; beat < 20; beat += 1) expect(await codeOfHeartbeat()).toBe('not-online');
          expect(await a.view.status(user)).toBe('offline');
          client.terminate();
        },
      ),
  );
});
