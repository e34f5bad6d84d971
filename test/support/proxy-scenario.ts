import { expect } from 'vitest';
import { freshUsers } from './crowd.ts';
import { eventually, sleep } from './ports.ts';
import { ProxiedPlayer } from './proxied-player.ts';
import { ProxiedTraffic } from './proxied-traffic.ts';
import { type LoadBalancer, PROXIES, startLoadBalancer } from './proxies.ts';
import { BUN_AND_NODE, type Cluster, type ClusterNode, startCluster } from './two-nodes.ts';
import { tryConnect } from './ws-client.ts';

const TIMEOUT_MS = 10_000;
/** The players' own address, which the proxies must forward to the nodes. */
const PLAYERS_ADDRESS = '127.0.0.9';
/** Every second, load balancers check whether a node has returned. */
const NOTICED_MS = 4_000;

export interface ProxySize {
  /** Number of players behind each load balancer. */
  readonly players: number;
  readonly shutdownDelayMs: number;
  readonly drainTimeoutMs: number;
}

/** The traffic behind one load balancer. */
interface Site {
  readonly balancer: LoadBalancer;
  readonly users: readonly number[];
  readonly players: readonly ProxiedPlayer[];
  readonly byHttp: number;
  readonly traffic: ProxiedTraffic;
}

/** Two nodes in production behind each of the documented load balancers, all at the same time. */
export class ProxyScenario {
  readonly #cluster: Cluster;
  readonly #sites: readonly Site[];

  private constructor(cluster: Cluster, sites: readonly Site[]) {
    this.#cluster = cluster;
    this.#sites = sites;
  }

  static async start(size: ProxySize): Promise<ProxyScenario> {
    const cluster = await startCluster({
      nodes: BUN_AND_NODE,
      timeoutMs: TIMEOUT_MS,
      env: {
        // Only pages of the same origin may connect, so the Host that a proxy forwards matters.
        NODE_ENV: 'production',
        LINGXI_TRUSTED_PROXIES: '127.0.0.1/32',
        LINGXI_SHUTDOWN_DELAY_MS: String(size.shutdownDelayMs),
        LINGXI_DRAIN_TIMEOUT_MS: String(size.drainTimeoutMs),
      },
    });
    const balancers: LoadBalancer[] = [];
    const stop = async (): Promise<void> => {
      await Promise.all(balancers.map((balancer) => balancer.stop()));
      await cluster.stop();
    };
    try {
      const ports = cluster.nodes.map(({ gateway }) => gateway.port());
      for (const name of PROXIES) balancers.push(await startLoadBalancer(name, ports));
      return new ProxyScenario(
        cluster,
        balancers.map((balancer) => openSite(cluster, balancer, size.players)),
      );
    } catch (error) {
      await stop();
      throw error;
    }
  }

  /** All users are online through the proxies, on both nodes, and known by their own addresses. */
  async everybodyIsIn(): Promise<void> {
    for (const { players } of this.#sites)
      await eventually(() => expect(players.filter(({ isOnline }) => !isOnline)).toHaveLength(0), {
        timeoutMs: 15_000,
      });
    for (const { gateway } of this.#cluster.nodes) {
      await gateway.waitForLog('connected');
      const lines = gateway.logs().filter((line) => line['event'] === 'connected');
      expect(new Set(lines.map((line) => line['ip']))).toEqual(new Set([PLAYERS_ADDRESS]));
    }
  }

  /** The node refuses a page of another origin, with its reason. */
  async foreignPagesAreRefused(): Promise<void> {
    const { gateway } = this.#cluster.node(0);
    const [user] = freshUsers(1);
    for (const { balancer } of this.#sites) {
      const options = { token: gateway.token(user), protocols: ['lingxi.v1'] };
      // The same host on another port is another origin.
      for (const origin of ['https://evil.example', 'http://127.0.0.1', 'http://127.0.0.1:1']) {
        const answer = await tryConnect(balancer.wsUrl, { ...options, headers: { origin } });
        expect(answer, balancer.name).toMatchObject({ status: 403, body: { code: 'origin-not-allowed' } });
      }
    }
  }

  /** Each node is stopped and started again, one after the other, as OPERATING.md says. */
  async restartOneAfterTheOther(): Promise<void> {
    for (const node of this.#cluster.nodes) {
      expect(await node.gateway.terminate()).toEqual({ code: 0, signal: null });
      await node.gateway.restart();
      await eventually(async () => expect((await node.gateway.call('GET', '/readyz')).status).toBe(200));
    }
    await sleep(NOTICED_MS);
  }

  /** One node is drained through the other, and the drain is cancelled. */
  async drainOne(): Promise<void> {
    const [asked, drained] = [this.#cluster.node(0), this.#cluster.node(1)];
    const call = (method: string) => asked.gateway.service(method, '/api/drain', { node: 'b' });
    // For 3 s, the previous process has its name as well.
    await eventually(async () => expect((await call('POST')).status).toBe(200), { timeoutMs: 10_000 });
    await eventually(async () => expect(await connectionsOf(drained)).toBe(0), {
      timeoutMs: 60_000,
    });
    await sleep(NOTICED_MS);
    expect((await call('DELETE')).status).toBe(200);
  }

  /** Nobody noticed more than a move from one node to the other. */
  async expectNobodyLost(): Promise<void> {
    for (const { balancer, players, users, byHttp, traffic } of this.#sites) {
      const { name } = balancer;
      await eventually(() => expect(players.filter(({ isOnline }) => !isOnline)).toHaveLength(0), {
        timeoutMs: 15_000,
      });
      expect(
        players.flatMap(({ trouble }) => trouble),
        name,
      ).toEqual([]);
      expect(traffic.trouble, name).toEqual([]);
      expect(traffic.answered).toBeGreaterThan(20);
      for (const user of [...users, byHttp]) expect(traffic.heard, name).toContain(user);
      // Each user has one open period.
      for (const { periods, nodes } of players) {
        expect(periods.size, name).toBe(1);
        expect(nodes.length, name).toBeGreaterThan(1);
      }
      const rows = await this.#cluster.periods(...users, byHttp);
      expect(rows.filter(({ settledAt, writes }) => settledAt !== undefined || writes > 0)).toEqual([]);
      expect(rows).toHaveLength(users.length + 1);
      expect(await this.#cluster.ends(...users, byHttp)).toBe(0);
      const away = Math.max(...players.map(({ longestAwayMs }) => longestAwayMs));
      process.stdout.write(
        `figure: rolling restart behind ${name}: ${players.length} clients, nobody logged out, at most ${Math.round(away)} ms without a connection\n`,
      );
    }
  }

  async stop(): Promise<void> {
    for (const { players, traffic } of this.#sites) {
      await Promise.all(players.map((player) => player.leave()));
      await traffic.stop();
    }
    await Promise.all(this.#sites.map(({ balancer }) => balancer.stop()));
    await this.#cluster.stop();
  }
}

function openSite(cluster: Cluster, balancer: LoadBalancer, count: number): Site {
  const { gateway } = cluster.node(0);
  const users = freshUsers(count);
  const players = users.map(
    (user) =>
      new ProxiedPlayer({
        wsUrl: balancer.wsUrl,
        token: gateway.token(user),
        origin: balancer.url,
        localAddress: PLAYERS_ADDRESS,
      }),
  );
  const [byHttp = 0] = freshUsers(1);
  const traffic = new ProxiedTraffic({ url: balancer.url, apiKey: gateway.apiKey }, byHttp);
  return { balancer, users, players, byHttp, traffic };
}

async function connectionsOf({ gateway }: ClusterNode): Promise<unknown> {
  return (await gateway.service('GET', '/ws/stats')).body['connections'];
}
