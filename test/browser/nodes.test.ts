import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/ports.ts';
import { type LoadBalancer, startLoadBalancer } from '../support/proxies.ts';
import { freshUser } from '../support/stores.ts';
import { BUN_AND_NODE, type Cluster, startCluster } from '../support/two-nodes.ts';
import { until, useBrowser } from './browser.ts';
import { game, play } from './site.ts';

/** As in production: a user who returns within this time was never offline. */
const TIMEOUT_MS = 10_000;

const browser = useBrowser();

describe('pages behind a load balancer with a node on Bun and one on Node', () => {
  let cluster: Cluster;
  let balancer: LoadBalancer;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: BUN_AND_NODE, timeoutMs: TIMEOUT_MS });
    const ports = cluster.nodes.map(({ gateway }) => gateway.port());
    balancer = await startLoadBalancer('haproxy', ports);
  });
  afterAll(async () => {
    await balancer?.stop();
    await cluster?.stop();
  });

  /** The number of connections of each of these users on each node, as the node reports it; none if the node is dead. */
  const connectionsOf = (users: readonly number[]): Promise<readonly (readonly number[])[]> =>
    Promise.all(
      users.map((user) =>
        Promise.all(
          cluster.nodes.map(async ({ gateway }, place) => {
            const path = `/api/users/${user}/connections`;
            const answer = await gateway.service('GET', path).catch(() => undefined);
            const connections = (answer?.body['connections'] ?? []) as readonly { readonly node: string }[];
            return connections.filter(({ node }) => node.startsWith(`${'ab'.charAt(place)}:`)).length;
          }),
        ),
      ),
    );

  it('connect to the other node when theirs is killed, also with shared tabs, and were never offline', async () => {
    const users = [freshUser(), freshUser()];
    const pages = [await browser.open(), await browser.open()];
    const tokens = users.map((user) => cluster.node(0).gateway.token(user));
    for (const [index, page] of pages.entries()) {
      const options = { url: balancer.wsUrl, token: tokens[index], user: users[index] };
      await play(page, { ...options, shared: index === 1 });
    }
    for (const page of pages) await until(page, 'open');
    // Both nodes die one after the other, so all pages are on the second one before it dies.
    for (const [place, { gateway: dead }] of cluster.nodes.entries()) {
      const other = cluster.node(1 - place).gateway;
      const before = await connectionsOf(users);
      if (place === 1) expect(before).toEqual(users.map(() => [0, 1]));
      await dead.kill();
      const after = place === 0 ? [0, 1] : [1, 0];
      await eventually(async () => expect(await connectionsOf(users)).toEqual(users.map(() => after)), {
        timeoutMs: TIMEOUT_MS,
      });
      for (const [index, page] of pages.entries()) {
        const state = await until(page, 'open');
        if (before[index]?.[place] === 1) expect(state.reason).toBe('resumed');
      }
      const message = { to: { userIds: users }, type: 'note', data: place };
      expect((await other.service('POST', '/api/messages', message)).body['counts']).toEqual({ written: 2 });
      for (const page of pages)
        await eventually(async () => expect((await game(page)).notes.at(-1)).toBe(place));
      await dead.restart();
      await eventually(async () => expect((await dead.call('GET', '/readyz')).status).toBe(200), {
        timeoutMs: 15_000,
      });
    }
    for (const page of pages) expect((await game(page)).errors).toEqual([]);
    expect(await cluster.ends(...users)).toBe(0);
    expect(await cluster.periods(...users)).toHaveLength(2);
  });
});
