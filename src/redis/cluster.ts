import type { Redis } from 'ioredis';
import type { Clock } from '../lib/clock.ts';
import { newestOpinion, type Opinion, survey } from './survey.ts';
import type { HostAndPort, RedisAddress } from './url.ts';

export type ClusterAddress = Extract<RedisAddress, { kind: 'cluster' }>;

/** Before every key on a Redis Cluster, so that all of them are in one slot and one script may touch them. */
export const CLUSTER_PREFIX = '{lingxi}:';
/** `CLUSTER KEYSLOT {lingxi}` */
export const CLUSTER_SLOT = 15_447;
const NOBODY = `no server of the cluster serves slot ${CLUSTER_SLOT}, that of {lingxi}`;
/** Servers that are asked: those of the URL, and those that the last answer named for the slot. */
const MAX_KNOWN = 64;

type SlotNode = readonly [host: string | null, port: number, id: string, ...more: unknown[]];
type SlotRange = readonly [from: number, to: number, master: SlotNode, ...replicas: SlotNode[]];

/** Finds the master of our slot, from whichever servers of the cluster still answer. */
export class SlotFinder {
  readonly #address: ClusterAddress;
  readonly #options: { readonly clock: Clock; readonly timeoutMs: number };
  /** Who served the slot by the last answer: the servers of the URL may all be gone one day. */
  #learned: readonly HostAndPort[] = [];

  constructor(address: ClusterAddress, options: { readonly clock: Clock; readonly timeoutMs: number }) {
    this.#address = address;
    this.#options = options;
  }

  findMaster(): Promise<HostAndPort> {
    const { hosts } = this.#address;
    const others = this.#learned.filter(
      ({ host, port }) => !hosts.some((known) => known.host === host && known.port === port),
    );
    return newestOpinion(this.#options.clock, [...hosts, ...others].slice(0, MAX_KNOWN), (host) =>
      this.#ask(host),
    );
  }

  async #ask(host: HostAndPort): Promise<Opinion> {
    const options = { ...this.#address, ...this.#options };
    const { nodes, epoch } = await survey(host, options, (server) => servingOf(server, host));
    const [master] = nodes;
    if (master === undefined) throw new Error(NOBODY);
    this.#learned = nodes;
    return { master, epoch };
  }
}

/** The servers of the slot, the master first, as the server asked sees it. */
async function servingOf(
  server: Redis,
  asked: HostAndPort,
): Promise<{ readonly nodes: readonly HostAndPort[]; readonly epoch: number }> {
  const [state, slots, table] = (await Promise.all([
    server.call('CLUSTER', 'INFO'),
    server.call('CLUSTER', 'SLOTS'),
    server.call('CLUSTER', 'NODES'),
  ])) as [string, SlotRange[], string];
  // A server in the smaller part of a divided cluster knows itself that it is not to be followed.
  if (!state.includes('cluster_state:ok')) throw new Error('the cluster is down (cluster_state is not ok)');
  const range = slots.find(([from, to]) => from <= CLUSTER_SLOT && CLUSTER_SLOT <= to);
  if (range === undefined) throw new Error(NOBODY);
  const [, , ...nodes] = range;
  // <id> <address> <flags> <master> <ping> <pong> <config epoch> <link> <slots>
  const line = table.split('\n').find((text) => text.startsWith(`${nodes[0]?.[2]} `));
  return {
    nodes: nodes.map(([host, port]) => ({
      // Without a name of its own a server is where it was asked; `?` is a name that is not set.
      host: host === null || host === '' || host === '?' ? asked.host : host,
      port,
    })),
    epoch: Number(line?.split(' ')[6] ?? 0),
  };
}
