import { run } from './child.ts';
import { eventually } from './ports.ts';
import { type RedisServer, startRedis } from './redis.ts';
import { findRedis } from './redis-binaries.ts';
import { linkedUp, type RedisDeployment, SYNC_AT_ONCE } from './redis-sentinel.ts';

const MASTERS = 3;
/** On a busy machine, a server that works may be silent for more than a second. */
const NODE_TIMEOUT_MS = 2_000;
const READY_TIMEOUT_MS = 20_000;
const PREFIX = '{lingxi}:';

/** One server of the cluster, with functions that only a test of the cluster needs. */
export interface RedisCluster extends RedisDeployment {
  readonly servers: readonly RedisServer[];
  /** Moves our slot with its keys to a master that did not serve it. */
  moveSlot(): Promise<void>;
}

/** Three masters, and a replica of the one that serves our slot. */
export async function startRedisCluster(): Promise<RedisCluster> {
  const binaries = await findRedis();
  const cluster = (...args: string[]): Promise<string> =>
    run(binaries.cli, ['--cluster', ...args], { env: binaries.env });
  const servers = await Promise.all(Array.from({ length: MASTERS + 1 }, startServer));
  const [replica, ...masters] = servers;
  if (replica === undefined) throw new Error('no server was started');
  await cluster('create', ...masters.map(addressOf), '--cluster-yes');
  const slot = await masters[0]?.cli('CLUSTER', 'KEYSLOT', PREFIX);
  const owner = (asked: readonly RedisServer[] = servers): Promise<RedisServer> =>
    ownerBy(asked, Number(slot), servers);
  const old = await owner(masters);
  const id = await old.cli('CLUSTER', 'MYID');
  await cluster('add-node', addressOf(replica), addressOf(old), '--cluster-slave', '--cluster-master-id', id);
  await allAgree(servers);
  await linkedUp(replica.cli);
  return {
    url: `redis+cluster://${masters.map(addressOf).join(',')}`,
    secrets: [],
    prefix: PREFIX,
    servers,
    cli: async (...args) => (await owner()).cli(...args),
    master: () => owner(),
    promoted: (former) =>
      eventually(
        async () => {
          const found = await owner(servers.filter((server) => server !== former));
          if (found === former) throw new Error('nobody was promoted');
          return found;
        },
        { timeoutMs: READY_TIMEOUT_MS },
      ),
    // A server of a cluster learns by itself that another server has its slots.
    rejoin: (server) => linkedUp(server.cli),
    async switchOver() {
      const standby = (await owner()) === replica ? old : replica;
      await standby.cli('CLUSTER', 'FAILOVER');
    },
    async moveSlot() {
      const from = await owner();
      const to = masters.find((master) => master !== from && master !== old);
      if (to === undefined) throw new Error('no other master');
      const [fromId, toId] = await Promise.all([from.cli('CLUSTER', 'MYID'), to.cli('CLUSTER', 'MYID')]);
      await to.cli('CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', fromId);
      await from.cli('CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', toId);
      for (;;) {
        const keys = (await from.cli('CLUSTER', 'GETKEYSINSLOT', String(slot), '100')).split('\n');
        if (keys[0] === '') break;
        await from.cli('MIGRATE', '127.0.0.1', String(to.port), '', '0', '5000', 'KEYS', ...keys);
      }
      for (const server of [to, from]) await server.cli('CLUSTER', 'SETSLOT', String(slot), 'NODE', toId);
    },
    async stop() {
      await Promise.all(servers.map((server) => server.stop()));
    },
  };
}

async function startServer(): Promise<RedisServer> {
  return startRedis({
    args: ['--cluster-enabled', 'yes', '--cluster-node-timeout', String(NODE_TIMEOUT_MS), ...SYNC_AT_ONCE],
  });
}

function addressOf({ port }: RedisServer): string {
  return `127.0.0.1:${port}`;
}

/** The master of the slot, from the server with the newest configuration. One of the called servers may be dead or hang. */
async function ownerBy(
  asked: readonly RedisServer[],
  slot: number,
  servers: readonly RedisServer[],
): Promise<RedisServer> {
  const views: View[] = [];
  await new Promise<void>((resolve) => {
    let answers = 0;
    for (const server of asked) {
      viewOf(server, slot)
        .then((view) => views.push(...view))
        .catch(() => undefined)
        .finally(() => {
          answers += 1;
          if (answers >= Math.min(asked.length, MASTERS)) resolve();
        });
    }
  });
  const [newest] = views.toSorted((left, right) => right.epoch - left.epoch);
  const owner = servers.find(({ port }) => port === newest?.port);
  if (owner === undefined) throw new Error('nobody serves our slot');
  return owner;
}

/** The master of the slot as a server sees it, and the epoch of that configuration. */
interface View {
  readonly port: number;
  readonly epoch: number;
}

async function viewOf(server: RedisServer, slot: number): Promise<readonly View[]> {
  const lines = (await server.cli('CLUSTER', 'NODES')).split('\n');
  return lines.flatMap((line) => {
    const [, address, flags, , , , epoch, , ...slots] = line.split(' ');
    const serves = slots.some((range) => {
      const [from = Number.NaN, to = from] = range.split('-').map(Number);
      return from <= slot && slot <= to;
    });
    if (!serves || !flags?.includes('master')) return [];
    return [{ port: Number(/:(\d+)@/.exec(address ?? '')?.[1]), epoch: Number(epoch) }];
  });
}

/** A replica has no vote. It is elected only if all servers know it. */
async function allAgree(servers: readonly RedisServer[]): Promise<void> {
  await eventually(
    async () => {
      for (const server of servers) {
        const [state, nodes] = [await server.cli('CLUSTER', 'INFO'), await server.cli('CLUSTER', 'NODES')];
        if (!state.includes('cluster_state:ok') || nodes.split('\n').length !== servers.length)
          throw new Error(`${state}\n${nodes}`);
        if (!nodes.includes('slave')) throw new Error(nodes);
      }
    },
    { timeoutMs: READY_TIMEOUT_MS },
  );
}
