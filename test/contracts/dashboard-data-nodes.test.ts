import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Runtime } from '../support/gateway-process.ts';
import { openLive } from '../support/live-stream.ts';
import { readMetrics } from '../support/metrics.ts';
import { eventually } from '../support/ports.ts';
import { viewPresence } from '../support/presence-view.ts';
import { freshUser } from '../support/stores.ts';
import { type Cluster, startCluster } from '../support/two-nodes.ts';
import type { Client } from '../support/ws-client.ts';

const RUNTIMES: readonly Runtime[] = ['bun', 'node'];
/** 2 s, and more on a busy machine. */
const SOON = { timeoutMs: 5_000 };

describe.concurrent.each(RUNTIMES)('dashboard data of two nodes on %s', (runtime) => {
  let cluster: Cluster;
  const clients: Client[] = [];
  beforeAll(async () => {
    cluster = await startCluster({
      nodes: [
        { runtime, name: 'a', wires: ['redis'] },
        { runtime, name: 'b' },
      ],
      timeoutMs: 10_000,
      env: { LINGXI_SESSION_POLICY: 'multi', LINGXI_UNKNOWN_USERS: 'ignore' },
    });
    await viewPresence(cluster.node(0)).login(freshUser());
  }, 60_000);
  afterAll(async () => {
    for (const client of clients) client.terminate();
    await cluster?.stop();
  });

  const gatewayOf = (node: number) => cluster.node(node).gateway;
  const join = async (node: number, user: number): Promise<Client> => {
    const client = await viewPresence(cluster.node(node)).v1(user);
    client.keepAlive();
    clients.push(client);
    return client;
  };
  const usersOf = async (node: number, query = '') => {
    const { body } = await gatewayOf(node).service('GET', `/api/dashboard/users?limit=200&${query}`);
    return body as unknown as {
      readonly total: number;
      readonly users: readonly Readonly<Record<string, unknown>>[];
      readonly partial?: string;
    };
  };

  it.sequential('[DB3] each node shows the users of both, each user once, with every node that holds the user', async () => {
    const [here, there, both] = [freshUser(), freshUser(), freshUser()];
    await join(0, here);
    await join(1, there);
    await join(0, both);
    await join(1, both);
    for (const asked of [0, 1]) {
      await eventually(async () => {
        const { users, total, partial } = await usersOf(asked, 'sort=user&order=asc');
        const of = (user: number) => users.filter(({ userId }) => userId === user);
        expect(partial).toBeUndefined();
        expect(total).toBe(users.length);
        expect(of(here)).toMatchObject([
          { node: expect.stringMatching(/^a:/), connections: 1, state: 'active' },
        ]);
        expect(of(there)).toMatchObject([
          { node: expect.stringMatching(/^b:/), connections: 1, state: 'active' },
        ]);
        expect(of(both)).toHaveLength(1);
        expect(of(both)[0]).toMatchObject({ connections: 2 });
        const nodes = of(both)[0]?.['nodes'] as readonly string[];
        expect(nodes.map((node) => node.slice(0, 2)).sort()).toEqual(['a:', 'b:']);
      });
    }
    const onB = await usersOf(0, 'search=node:b');
    expect(onB.users.map(({ userId }) => userId)).toEqual(expect.arrayContaining([there, both]));
    expect(onB.users.map(({ userId }) => userId)).not.toContain(here);
  });

  it.sequential('a user who comes to or leaves another node is shown within 2 s, and the last heartbeat is at most 1 s behind', async () => {
    const user = freshUser();
    await usersOf(0);
    const client = await join(1, user);
    const row = async () => (await usersOf(0, `search=${user}`)).users.find(({ userId }) => userId === user);
    await eventually(async () => expect(await row()).toMatchObject({ state: 'active' }), SOON);
    // The client sends a heartbeat every 0.3 s.
    await eventually(async () => {
      const asked = Date.now();
      expect(Number((await row())?.['lastHeartbeat'])).toBeGreaterThan(asked - 1_500);
    }, SOON);
    client.terminate();
    await eventually(async () => expect(await row()).toMatchObject({ state: 'lingering' }), SOON);
    await viewPresence(cluster.node(1)).logout(user);
    await eventually(async () => expect(await row()).toBeUndefined(), SOON);
  });

  it.sequential('[DB1] a user online by HTTP is not shown as lingering, on however many nodes, and has an address on each', async () => {
    const user = freshUser();
    const lingering = async (): Promise<number> => {
      const counts = await Promise.all(
        [0, 1].map(async (node) => (await readMetrics(gatewayOf(node)))('lingxi_users_lingering')),
      );
      return counts.reduce((sum, count) => sum + count, 0);
    };
    const before = await lingering();
    await viewPresence(cluster.node(0)).login(user);
    await viewPresence(cluster.node(1)).heartbeat(user);
    expect(await lingering()).toBeLessThanOrEqual(before);
    for (const asked of [0, 1])
      await eventually(async () => {
        const [row] = (await usersOf(asked, `search=${user}`)).users;
        expect(row).toMatchObject({ state: 'http', ip: '127.0.0.1' });
        expect(row?.['nodes']).toHaveLength(2);
      }, SOON);
  });

  it.sequential("GET /api/users/:id/connections and a user's page have the connections of all nodes, and the groups", async () => {
    const user = freshUser();
    await join(0, user);
    await join(1, user);
    await gatewayOf(0).service('POST', '/api/groups/travellers', { add: [user] });
    for (const asked of [0, 1]) {
      // The answer lacks a node that does not report in time.
      await eventually(async () => {
        const { body } = await gatewayOf(asked).service('GET', `/api/users/${user}/connections`);
        const connections = body['connections'] as readonly Readonly<Record<string, unknown>>[];
        expect(connections.map(({ node }) => String(node).slice(0, 2)).sort()).toEqual(['a:', 'b:']);
        expect(body).not.toHaveProperty('partial');
      });
      await eventually(async () => {
        const page = (await gatewayOf(asked).service('GET', `/api/dashboard/users/${user}`)).body;
        expect(page['groups']).toEqual(['travellers']);
        expect(page['connections']).toHaveLength(2);
      });
    }
  });

  it.sequential('[DB2] [DB3] a frozen node is shown as silent, its totals stay in the sums, and its users do not change', async () => {
    const user = freshUser();
    await join(1, user);
    await eventually(async () => expect((await usersOf(0, `search=${user}`)).users).toHaveLength(1));
    const stream = await openLive(gatewayOf(0).url, gatewayOf(0).apiKey);
    const isAnswered = (name: string) => (counts: Awaited<ReturnType<typeof stream.next>>) =>
      counts.nodes.some((node) => node.name === name && node.answered);
    const before = await stream.until(isAnswered('b'));
    gatewayOf(1).signalAll('SIGSTOP');
    try {
      const frozen = await stream.until((counts) => !isAnswered('b')(counts));
      expect(frozen.totals.logins).toBeGreaterThanOrEqual(before.totals.logins);
      expect(frozen.totals.heartbeats).toBeGreaterThanOrEqual(before.totals.heartbeats);
      // By the clock of the node. A busy machine may delay some events, but not those of each window.
      let fastestMs = Number.POSITIVE_INFINITY;
      for (let window = 0; window < 3 && fastestMs >= 3_500; window += 1) {
        const events = [];
        for (let event = 0; event < 5; event += 1) events.push(await stream.next());
        expect(events.every(isAnswered('a'))).toBe(true);
        fastestMs = Math.min(fastestMs, (events.at(-1)?.at ?? 0) - (events[0]?.at ?? 0));
      }
      expect(fastestMs).toBeLessThan(3_500);
      await eventually(async () => {
        const { users, partial } = await usersOf(0, `search=${user}`);
        expect(users).toMatchObject([{ userId: user, node: expect.stringMatching(/^b:/) }]);
        expect(partial).toMatch(/No answer from b:/);
      });
      const { body } = await gatewayOf(0).service('GET', `/api/users/${user}/connections`);
      expect(body).toMatchObject({ connections: [], partial: [expect.stringMatching(/^b:/)] });
    } finally {
      gatewayOf(1).signalAll('SIGCONT');
    }
    const thawed = await stream.until(isAnswered('b'));
    expect(thawed.basis).toBe(before.basis);
    await eventually(async () => expect((await usersOf(0)).partial).toBeUndefined());
    stream.stop();
  }, 60_000);

  it.sequential('[DB2] [DB3] without Redis the stream continues and reports that, and the users of this node are shown', async () => {
    const user = freshUser();
    await join(0, user);
    const stream = await openLive(gatewayOf(0).url, gatewayOf(0).apiKey);
    const before = await stream.until(({ presenceAvailable }) => presenceAvailable);
    const wire = cluster.node(0).wires.get('redis');
    wire?.cut();
    const gone = await stream.until(({ presenceAvailable }) => !presenceAvailable);
    expect(gone.totals.logins).toBeGreaterThanOrEqual(before.totals.logins);
    expect(Object.fromEntries(gone.nodes.map(({ name, answered }) => [name, answered]))).toEqual({
      a: true,
      b: false,
    });
    const { users, partial } = await usersOf(0, `search=${user}`);
    expect(users).toMatchObject([{ userId: user, state: 'active' }]);
    expect(partial).toMatch(/presence store is unreachable/);
    wire?.heal();
    await stream.until(
      ({ presenceAvailable, nodes }) => presenceAvailable && nodes.every(({ answered }) => answered),
    );
    await eventually(async () => expect((await usersOf(0)).partial).toBeUndefined());
    stream.stop();
  }, 60_000);
});
