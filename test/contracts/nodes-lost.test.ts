import { describe, expect, it } from 'vitest';
import { type Gateway, type GatewayOptions, type Runtime, startGateway } from '../support/gateway-process.ts';
import { readMetrics } from '../support/metrics.ts';
import { entryOf, nodesOf } from '../support/nodes-view.ts';
import { eventually } from '../support/ports.ts';
import { viewPresence } from '../support/presence-view.ts';
import { freshUser, openStores } from '../support/stores.ts';

/** These tests mostly wait, but other tests run at the same time. */
const TIMEOUT_MS = 90_000;
const RUNTIMES: readonly Runtime[] = ['bun', 'node'];

/** Two nodes, and `more` of them, on their own Redis and PostgreSQL. */
async function withNodes(
  options: Pick<GatewayOptions, 'runtime' | 'env'> & { readonly names: readonly [string, string] },
  use: (first: Gateway, second: Gateway, more: (name: string) => Promise<Gateway>) => Promise<void>,
): Promise<void> {
  const stores = await openStores('redis+postgres');
  const started: Gateway[] = [];
  const start = async (name: string): Promise<Gateway> => {
    const env = { LINGXI_NODE_NAME: name, ...options.env };
    const gateway = await startGateway({ runtime: options.runtime, stores: stores.settings, env });
    started.push(gateway);
    return gateway;
  };
  try {
    const [first, second] = [await start(options.names[0]), await start(options.names[1])];
    await use(first, second, start);
  } finally {
    await Promise.all(started.map((gateway) => gateway.stop()));
    await stores.stop();
  }
}

const shared = async (gateway: Gateway): Promise<readonly unknown[]> =>
  (await gateway.logsSoFar()).filter(({ event }) => event === 'node-name-shared').map(({ other }) => other);

/** Number of times that the node has read the list of nodes. */
const looks = async (gateway: Gateway): Promise<number> =>
  (await readMetrics(gateway))('lingxi_script_duration_seconds_count{script="nodes"}');

describe('two nodes', () => {
  it.concurrent.each(RUNTIMES)(
    '[PR8] GET /api/nodes shows a killed node as silent, then as dead until its users are logged out, on %s',
    { timeout: TIMEOUT_MS },
    async (runtime) => {
      const env = { LINGXI_HEARTBEAT_TIMEOUT_MS: '4000', LINGXI_HTTP_TIMEOUT_MS: '9000' };
      await withNodes({ runtime, names: ['x', 'y'], env }, async (x, y) => {
        expect((await viewPresence({ gateway: y }).login(freshUser())).status).toBe(200);
        await y.kill();
        await eventually(async () =>
          expect(await entryOf(x, 'y')).toMatchObject({ state: 'silent', users: 1, draining: false }),
        );
        await eventually(async () =>
          expect(await entryOf(x, 'y')).toMatchObject({
            ...{ state: 'dead', users: 1, connections: 0, leaseAgeMs: null },
          }),
        );
        await eventually(async () => expect((await nodesOf(x)).map(({ name }) => name)).toEqual(['x']), {
          timeoutMs: 10_000,
        });
      });
    },
  );

  it.concurrent.each(RUNTIMES)(
    'two nodes with one name both log that, and no other node does, on %s',
    { timeout: TIMEOUT_MS },
    async (runtime) => {
      await withNodes({ runtime, names: ['a', 'b'] }, async (a, b, more) => {
        const twin = await more('b');
        const line = await twin.waitForLog('node-name-shared');
        expect(line).toMatchObject({
          ...{ level: 'warn', variable: 'LINGXI_NODE_NAME', other: (await nodesOf(a))[1]?.node },
        });
        expect(String(line['msg'])).toContain('LINGXI_NODE_NAME');
        const asked = await a.service('POST', '/api/drain', { node: 'b' });
        expect([asked.status, asked.body['code']]).toEqual([409, 'node-ambiguous']);
        await b.waitForLog('node-name-shared', undefined, 20_000);
        // Both nodes are killed. A node that starts under the same name must not take the dead node's sign of life for that of a
        // living one.
        await Promise.all([b.kill(), twin.kill()]);
        await twin.restart();
        // A node names another one only if it has seen that node live between two looks.
        const before = await looks(a);
        await eventually(async () => {
          expect(await looks(a)).toBeGreaterThanOrEqual(before + 2);
          expect(await looks(twin)).toBeGreaterThanOrEqual(2);
        });
        expect([await shared(a), await shared(twin)]).toEqual([[], []]);
      });
    },
  );
});
