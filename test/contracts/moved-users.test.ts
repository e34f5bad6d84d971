import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Runtime } from '../support/gateway-process.ts';
import { readMetrics } from '../support/metrics.ts';
import { eventually } from '../support/ports.ts';
import { PATIENT_REDIS_MS } from '../support/stores.ts';
import { type Cluster, startCluster } from '../support/two-nodes.ts';
import type { Client } from '../support/ws-client.ts';

const RUNTIMES: readonly Runtime[] = ['bun', 'node'];
const CROWD = 300;
/** A node always admits this many logins at once. */
const AT_ONCE = 50;

describe.each(RUNTIMES)('many users move to another node at once, on %s', (runtime) => {
  let cluster: Cluster;
  beforeAll(async () => {
    // So long that nobody times out while 300 users log in on a busy machine.
    cluster = await startCluster({
      nodes: [{ runtime }, { runtime }],
      timeoutMs: 10_000,
      env: { LINGXI_REDIS_TIMEOUT_MS: PATIENT_REDIS_MS },
    });
  });
  afterAll(() => cluster?.stop());

  it('[HB6] the old node counts no mass timeout', async () => {
    const [from, to] = [cluster.node(0), cluster.node(1)];
    const users = Array.from({ length: CROWD }, (_, index) => index + 1);
    // In parts: a busy machine refuses a storm of logins.
    const enter = async ({ view }: typeof from): Promise<Client[]> => {
      const clients: Client[] = [];
      for (let first = 0; first < CROWD; first += AT_ONCE)
        clients.push(
          ...(await Promise.all(users.slice(first, first + AT_ONCE).map((user) => view.v1(user)))),
        );
      return clients;
    };
    for (const client of await enter(from)) client.terminate();
    await enter(to);
    await eventually(
      async () => {
        const metrics = await readMetrics(from.gateway);
        // Nobody lingers either while the node has not noticed the ends of the sockets.
        expect([metrics('lingxi_connections'), metrics('lingxi_users_lingering')]).toEqual([0, 0]);
      },
      { timeoutMs: 20_000 },
    );
    expect((await readMetrics(from.gateway))('lingxi_mass_timeouts_held_total')).toBe(0);
    const lines = await from.gateway.logsSoFar();
    expect(lines.filter(({ event }) => event === 'mass-timeout-held')).toEqual([]);
  });
});
