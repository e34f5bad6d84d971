import { type Gateway, type Runtime, startGateway } from './gateway-process.ts';
import { eventually } from './ports.ts';
import { type PresenceView, viewPresence } from './presence-view.ts';
import { type PostgresServer, type RedisServer, startPostgres, startRedis } from './services.ts';
import { createUsers } from './stores.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';
import type { Client } from './ws-client.ts';

/** One node of a deployment, and its lines to the stores. */
export interface ClusterNode {
  readonly gateway: Gateway;
  readonly view: PresenceView;
  /** The requested lines, by store. */
  readonly wires: ReadonlyMap<WiredStore, TcpProxy>;
}

export type WiredStore = 'redis' | 'sql';

/** A row of `lingxi_periods` in the form for the scenarios; times in ms. */
export interface PeriodRow {
  readonly userId: number;
  readonly period: number;
  readonly loginAt: number;
  readonly lastSeenAt: number | undefined;
  readonly logoutAt: number | undefined;
  readonly reason: string | undefined;
  readonly settledAt: number | undefined;
  /** How often a settlement changed this row. It must be once. */
  readonly writes: number;
}

/** Some real nodes on one real Redis and one real PostgreSQL. */
export interface Cluster {
  readonly redis: RedisServer;
  readonly postgres: PostgresServer;
  readonly nodes: readonly ClusterNode[];
  node(index: number): ClusterNode;
  /** Starts a further node. */
  add(options: NodeOptions): Promise<ClusterNode>;
  /** Rows of these users, oldest period first. */
  periods(...users: readonly number[]): Promise<readonly PeriodRow[]>;
  userTime(user: number): Promise<number | undefined>;
  /** How often each of these users went offline, by the presence feed. */
  ends(...users: readonly number[]): Promise<number>;
  /** Whether the user is in `server:online:players`. */
  inSet(user: number): Promise<boolean>;
  /** How many of these users are in it. */
  countInSet(users: readonly number[]): Promise<number>;
  stop(): Promise<void>;
}

export interface NodeOptions {
  readonly runtime: Runtime;
  /** `LINGXI_NODE_NAME`; default: the letter of its place. */
  readonly name?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The stores that it reaches through a separate line. */
  readonly wires?: readonly WiredStore[];
}

export interface ClusterOptions {
  readonly nodes: readonly NodeOptions[];
  /** Default 2000 ms: the scenarios of ten seconds run in two. */
  readonly timeoutMs?: number;
  /** For every node. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** `LINGXI_PING_INTERVAL_MS` of every node, as a share of its timeout; the default share of the product. */
export const PING_SHARE = 0.3;

export const BUN_AND_NODE: readonly NodeOptions[] = [{ runtime: 'bun' }, { runtime: 'node' }];

export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
  const started: ClusterNode[] = [];
  const add = async (node: NodeOptions, place: number): Promise<ClusterNode> => {
    const joined = await startNode({ redis, postgres, options }, node, place);
    started.push(joined);
    return joined;
  };
  const stop = async (): Promise<void> => {
    redis.thaw();
    postgres.thaw();
    await Promise.all(started.map(stopNode));
    await Promise.all([redis.stop(), postgres.stop()]);
  };
  try {
    await createUsers(postgres);
    const nodes = await Promise.all(options.nodes.map((node, place) => add(node, place)));
    await countSettlements(postgres);
    await Promise.all(nodes.map(untilReady));
    return {
      redis,
      postgres,
      nodes,
      node: (index) => {
        const node = nodes[index];
        if (node === undefined) throw new Error(`no node ${index}`);
        return node;
      },
      async add(node) {
        const joined = await add(node, started.length);
        await untilReady(joined);
        return joined;
      },
      periods: (...users) => readPeriods(postgres, users),
      async userTime(user) {
        const [row] = await postgres.query('SELECT last_spirit_gain_time AS t FROM users WHERE id = $1', [
          user,
        ]);
        return toMs(row?.['t']);
      },
      async ends(...users) {
        const wanted = new Set(users);
        const entries = await eventually(() => readFeed(started));
        return entries.filter(({ type, userId }) => type === 'offline' && wanted.has(Number(userId))).length;
      },
      inSet: async (user) => (await redis.cli('SISMEMBER', 'server:online:players', String(user))) === '1',
      async countInSet(users) {
        const members = new Set((await redis.cli('SMEMBERS', 'server:online:players')).split('\n'));
        return users.filter((user) => members.has(String(user))).length;
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Resolves when each of these users has exactly one settled period, and returns the rows. */
export function untilSettled(
  cluster: Pick<Cluster, 'periods'>,
  users: readonly number[],
  timeoutMs = 20_000,
): Promise<readonly PeriodRow[]> {
  return eventually(
    async () => {
      const rows = await cluster.periods(...users);
      const open = rows.filter(({ settledAt }) => settledAt === undefined);
      if (open.length > 0 || rows.length < users.length) {
        throw new Error(`${open.length} of ${rows.length} periods of ${users.length} users are open`);
      }
      return rows;
    },
    { timeoutMs },
  );
}

/** A cluster for a single test. */
export async function withCluster(
  options: ClusterOptions,
  scenario: (cluster: Cluster) => Promise<void>,
): Promise<void> {
  const cluster = await startCluster(options);
  try {
    await scenario(cluster);
  } finally {
    await cluster.stop();
  }
}

/** The line of a node that was started with it. */
export function wireOf(node: ClusterNode, store: WiredStore): TcpProxy {
  const wire = node.wires.get(store);
  if (wire === undefined) throw new Error(`this node has no wire of its own to ${store}`);
  return wire;
}

/** A figure that the documents quote. */
export function figure(scenario: number, text: string): void {
  process.stdout.write(`[scenario ${scenario}] ${text}\n`);
}

export function endAll(clients: readonly Client[]): void {
  for (const client of clients) client.terminate();
}

async function startNode(
  cluster: { redis: RedisServer; postgres: PostgresServer; options: ClusterOptions },
  node: NodeOptions,
  place: number,
): Promise<ClusterNode> {
  const { redis, postgres, options } = cluster;
  const wires = new Map<WiredStore, TcpProxy>();
  for (const store of node.wires ?? [])
    wires.set(store, await startTcpProxy(store === 'redis' ? redis.port : postgres.port));
  const gateway = await startGateway({
    runtime: node.runtime,
    stores: {
      redisUrl: through(wires.get('redis'), redis.url),
      databaseUrl: through(wires.get('sql'), postgres.url),
    },
    env: {
      LINGXI_HEARTBEAT_TIMEOUT_MS: String(options.timeoutMs ?? 2_000),
      LINGXI_HTTP_TIMEOUT_MS: String(options.timeoutMs ?? 2_000),
      LINGXI_PING_INTERVAL_MS: String((options.timeoutMs ?? 2_000) * PING_SHARE),
      LINGXI_NODE_NAME: node.name ?? 'abcdef'.charAt(place),
      ...options.env,
      ...node.env,
    },
  });
  return { gateway, view: viewPresence({ gateway }), wires };
}

function through(wire: TcpProxy | undefined, url: string): string {
  if (wire === undefined) return url;
  const changed = new URL(url);
  changed.port = String(wire.port);
  return changed.href;
}

async function stopNode(node: ClusterNode): Promise<void> {
  node.gateway.signalAll('SIGCONT');
  await node.gateway.stop();
  for (const wire of node.wires.values()) await wire.stop();
}

const untilReady = ({ gateway }: ClusterNode): Promise<void> =>
  eventually(
    async () => {
      const { status } = await gateway.call('GET', '/readyz');
      if (status !== 200) throw new Error(`not ready: ${status}`);
    },
    { timeoutMs: 30_000 },
  );

/** The test's own witness in the database: it records every change of a settled row, by any program. */
async function countSettlements(postgres: PostgresServer): Promise<void> {
  await postgres.query('CREATE TABLE settlements (user_id bigint, period bigint)');
  await postgres.query(`CREATE FUNCTION count_settlement() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO settlements VALUES (NEW.user_id, NEW.period); RETURN NEW; END $$`);
  await postgres.query(`CREATE TRIGGER count_settlement AFTER INSERT OR UPDATE ON lingxi_periods FOR EACH ROW
    WHEN (NEW.settled_at IS NOT NULL) EXECUTE FUNCTION count_settlement()`);
}

async function readPeriods(
  postgres: PostgresServer,
  users: readonly number[],
): Promise<readonly PeriodRow[]> {
  const rows = await postgres.query(
    `SELECT p.*, (SELECT count(*) FROM settlements s WHERE s.user_id = p.user_id AND s.period = p.period) AS writes
     FROM lingxi_periods p WHERE p.user_id = ANY($1::bigint[]) ORDER BY p.user_id, p.period`,
    [users],
  );
  return rows.map((row) => ({
    userId: Number(row['user_id']),
    period: Number(row['period']),
    loginAt: toMs(row['login_at']) ?? Number.NaN,
    lastSeenAt: toMs(row['last_seen_at']),
    logoutAt: toMs(row['logout_at']),
    reason: row['reason'] === null ? undefined : String(row['reason']),
    settledAt: toMs(row['settled_at']),
    writes: Number(row['writes']),
  }));
}

/** The presence feed from its beginning, from any node that answers: one may be dead, one cut off from Redis. */
function readFeed(nodes: readonly ClusterNode[]): Promise<readonly Record<string, unknown>[]> {
  return Promise.any(nodes.map(readFeedOf));
}

async function readFeedOf({ gateway }: ClusterNode): Promise<readonly Record<string, unknown>[]> {
  const entries: Record<string, unknown>[] = [];
  let cursor = '';
  for (;;) {
    const page = cursor === '' ? '' : `&cursor=${cursor}`;
    const { status, body, text } = await gateway.service('GET', `/api/online/events?limit=1000${page}`);
    if (status !== 200) throw new Error(`the feed answered ${status}: ${text}`);
    const events = body['events'] as Record<string, unknown>[];
    if (events.length === 0) return entries;
    entries.push(...events);
    cursor = String(body['cursor']);
  }
}

function toMs(value: unknown): number | undefined {
  return value instanceof Date ? value.getTime() : undefined;
}
