import type { Redis } from 'ioredis';
import type { Clock } from '../lib/clock.ts';
import { type MasterReport, newestMaster, survey } from './survey.ts';
import type { HostAndPort, RedisAddress } from './url.ts';

export type ClusterAddress = Extract<RedisAddress, { kind: 'cluster' }>;

/** Prefix of every key on a Redis Cluster. So all keys are in one slot, and one script may use them. */
export const CLUSTER_PREFIX = '{lingxi}:';
/** `CLUSTER KEYSLOT {lingxi}` */
export const CLUSTER_SLOT = 15_447;
const NOBODY = `no server of the cluster serves slot ${CLUSTER_SLOT}, that of {lingxi}`;
/** Largest number of servers to ask: those of the URL, and those that the last answer named for the slot. */
const MAX_KNOWN = 64;

type SlotNode = readonly [host: string | null, port: number, id: string, ...more: unknown[]];
type SlotRange = readonly [from: number, to: number, master: SlotNode, ...replicas: SlotNode[]];

/** Asks the servers of the cluster that still answer for the master of our slot. */
export class SlotFinder {
  readonly #address: ClusterAddress;
  readonly #options: { readonly clock: Clock; readonly timeoutMs: number };
  /** The servers of the slot in the last answer. All servers of the URL may be removed one day. */
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
    return newestMaster(this.#options.clock, [...hosts, ...others].slice(0, MAX_KNOWN), (host) =>
      this.#ask(host),
    );
  }

  async #ask(host: HostAndPort): Promise<MasterReport> {
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
  // A server in the minority of a divided cluster reports this state. Its answer does not count.
  if (!state.includes('cluster_state:ok')) throw new Error('the cluster is down (cluster_state is not ok)');
  const range = slots.find(([from, to]) => from <= CLUSTER_SLOT && CLUSTER_SLOT <= to);
  if (range === undefined) throw new Error(NOBODY);
  const [, , ...nodes] = range;
  // <id> <address> <flags> <master> <ping> <pong> <config epoch> <link> <slots>
  const line = table.split('\n').find((text) => text.startsWith(`${nodes[0]?.[2]} `));
  return {
    nodes: nodes.map(([host, port]) => ({
      // A server that does not know its own name is at the address that was asked. `?` is a name that is not set.
      host: host === null || host === '' || host === '?' ? asked.host : host,
      port,
    })),
    epoch: Number(line?.split(' ')[6] ?? 0),
  };
}
