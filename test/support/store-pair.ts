import { expect } from 'vitest';
import { type Gateway, type LogLine, type Runtime, startGateway } from './gateway-process.ts';
import { eventually } from './ports.ts';
import { type PresenceView, viewPresence, type Welcome, welcomeOf } from './presence-view.ts';
import type { RedisOptions } from './redis.ts';
import {
  type PostgresServer,
  type RedisDatabase,
  type RedisServer,
  startPostgres,
  startRedis,
} from './services.ts';
import { createUsers } from './stores.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';
import type { Client } from './ws-client.ts';

/** One node of a pair. */
export interface PairNode extends PresenceView {
  readonly gateway: Gateway;
  /** Status of `/readyz`. */
  ready(): Promise<number>;
  /** A metric without labels; NaN where there is none. */
  metric(name: string): Promise<number>;
  /** Lines of the log with this event that have arrived, starting at `since` (an index of {@link mark}). */
  logged(event: string, since?: number): readonly LogLine[];
  /** The same with all lines up to now, also those that have not arrived yet. */
  loggedSoFar(event: string, since?: number): Promise<readonly LogLine[]>;
  /** The end of the log: what happened before this call stands before it. */
  mark(): Promise<number>;
}

/** A row of `lingxi_periods` with the user's own time; times in ms. */
export interface PairPeriod {
  readonly period: number;
  readonly loginAt: number;
  readonly logoutAt: number | null;
  readonly reason: string | null;
  readonly settledAt: number | null;
  readonly userTime: number | null;
}

/** A user who is online by a socket with heartbeats. */
export interface Visitor {
  readonly user: number;
  readonly client: Client;
  readonly welcome: Welcome;
  /** Stops only the heartbeats. */
  readonly silence: () => void;
}

/** A Bun and a Node process on one Redis and one PostgreSQL, each reached through a separate proxy. */
export interface StorePair {
  readonly redis: RedisServer;
  readonly postgres: PostgresServer;
  readonly redisProxy: TcpProxy;
  readonly postgresProxy: TcpProxy;
  readonly bun: PairNode;
  readonly node: PairNode;
  readonly both: readonly [PairNode, PairNode];
  periods(user: number): Promise<readonly PairPeriod[]>;
  stop(): Promise<void>;
}

export interface PairOptions {
  readonly timeoutMs: number;
  readonly redis?: RedisOptions;
  readonly env?: Readonly<Record<string, string>>;
  /** The role of the gateways in PostgreSQL, created with the smallest rights that they need. Default: the owner. */
  readonly role?: string;
}

/** Runs `work` on a new pair. */
export async function withPair(
  options: PairOptions,
  work: (pair: StorePair) => Promise<void>,
): Promise<void> {
  const pair = await startPair(options);
  try {
    await work(pair);
  } finally {
    await pair.stop();
  }
}

/** Connects the same number of users on each node. */
export async function enterBoth(pair: StorePair, users: readonly number[]): Promise<readonly Visitor[]> {
  const half = users.length >> 1;
  return [...(await enter(pair.bun, users.slice(0, half))), ...(await enter(pair.node, users.slice(half)))];
}

/** Waits until `/readyz` of both nodes has this status. */
export async function waitForReadiness(pair: StorePair, status: number, timeoutMs = 15_000): Promise<void> {
  await eventually(
    async () => expect(await Promise.all(pair.both.map((node) => node.ready()))).toEqual([status, status]),
    { timeoutMs },
  );
}

const SLICE = 25;

export async function startPair(options: PairOptions): Promise<StorePair> {
  const [redis, postgres] = await Promise.all([startRedis(options.redis), startPostgres()]);
  await createUsers(postgres);
  if (options.role !== undefined) await createRole(postgres, options.role);
  const [redisProxy, postgresProxy] = await Promise.all([
    startTcpProxy(redis.port),
    startTcpProxy(postgres.port),
  ]);
  const databaseUrl = new URL(postgres.url);
  databaseUrl.port = String(postgresProxy.port);
  if (options.role !== undefined) databaseUrl.username = options.role;
  const stores = { redisUrl: `redis://127.0.0.1:${redisProxy.port}`, databaseUrl: databaseUrl.href };
  const start = async (runtime: Runtime): Promise<PairNode> => {
    const env = {
      LINGXI_HEARTBEAT_TIMEOUT_MS: String(options.timeoutMs),
      LINGXI_PING_INTERVAL_MS: '400',
      LINGXI_NODE_NAME: runtime,
      ...options.env,
    };
    return pairNode(await startGateway({ runtime, stores, env }));
  };
  const [bun, node] = await Promise.all([start('bun'), start('node')]);
  // If many servers start at the same time, a node may lose Redis again at once.
  await eventually(async () => expect(await Promise.all([bun.ready(), node.ready()])).toEqual([200, 200]), {
    timeoutMs: 30_000,
  });
  return {
    ...{ redis, postgres, redisProxy, postgresProxy, bun, node, both: [bun, node] },
    periods: (user) => readPeriods(postgres, user),
    async stop() {
      await Promise.all([bun.gateway.stop(), node.gateway.stop()]);
      redis.thaw();
      await Promise.all([redisProxy.stop(), postgresProxy.stop(), redis.stop(), postgres.stop()]);
    },
  };
}

/** Connects users with sockets that send heartbeats, each on one node. */
export async function enter(node: PairNode, users: readonly number[]): Promise<readonly Visitor[]> {
  const visitors: Visitor[] = [];
  await eachOf(users, async (user) => {
    // Without pongs, so that only the heartbeats keep the user online.
    const client = await node.v1(user, { autoPong: false });
    const welcome = await welcomeOf(client);
    visitors.push({ user, client, welcome, silence: client.keepAlive(400) });
  });
  return visitors.sort((a, b) => a.user - b.user);
}

/** The only period of the user, once it is settled. */
export function settledPeriod(
  pair: Pick<StorePair, 'periods'>,
  user: number,
  timeoutMs = 15_000,
): Promise<PairPeriod> {
  return eventually(
    async () => {
      const rows = await pair.periods(user);
      expect(rows, `periods of ${user}`).toHaveLength(1);
      const [row] = rows;
      expect(row?.settledAt, `period of ${user}`).toEqual(expect.any(Number));
      return row ?? expect.fail('no row');
    },
    { timeoutMs },
  );
}

/** The ids in the set of online users. */
export async function onlineSet(redis: RedisDatabase): Promise<ReadonlySet<string>> {
  return new Set((await redis.cli('SMEMBERS', 'server:online:players')).split('\n'));
}

/** What is missing for users who should be online: open sockets, ids in the set, hashes. */
export async function missingOf(
  redis: RedisDatabase,
  visitors: readonly Visitor[],
): Promise<readonly string[]> {
  const set = await onlineSet(redis);
  const keys = visitors.map(({ user }) => `player:online:${user}`);
  const script = `local n = {} for i, key in ipairs(KEYS) do n[i] = redis.call('HGET', key, 'status') or '-' end return n`;
  const states = (await redis.cli('EVAL', script, String(keys.length), ...keys)).split('\n');
  return visitors.flatMap(({ user, client }, index) => [
    ...(client.socket.readyState === client.socket.OPEN ? [] : [`${user}: closed`]),
    ...(set.has(String(user)) ? [] : [`${user}: not in the set`]),
    ...(states[index] === 'online' ? [] : [`${user}: ${states[index]}`]),
  ]);
}

/** Waits until nothing is missing and returns the time in ms. */
export async function restoredAfter(
  redis: RedisDatabase,
  visitors: readonly Visitor[],
  timeoutMs: number,
): Promise<number> {
  const from = performance.now();
  await eventually(async () => expect(await missingOf(redis, visitors)).toEqual([]), {
    timeoutMs,
    intervalMs: 20,
  });
  return Math.round(performance.now() - from);
}

/** Runs `work` for all users, a few at a time: a burst from this process would measure this process. */
export async function eachOf<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<unknown>,
): Promise<void> {
  for (let start = 0; start < items.length; start += SLICE) {
    await Promise.all(items.slice(start, start + SLICE).map(work));
  }
}

export function leaveAll(visitors: readonly Visitor[]): void {
  for (const { client } of visitors) client.terminate();
}

/** Prints a figure that the documents quote. */
export function figure(text: string): void {
  process.stdout.write(`  figure: ${text}\n`);
}

/** The end of the log of each of {@link StorePair.both}. */
export const marksOf = (pair: Pick<StorePair, 'both'>): Promise<readonly number[]> =>
  Promise.all(pair.both.map((node) => node.mark()));

function pairNode(gateway: Gateway): PairNode {
  const withEvent = (lines: readonly LogLine[], event: string, since: number): readonly LogLine[] =>
    lines.slice(since).filter((line) => line['event'] === event);
  return {
    ...viewPresence({ gateway }),
    gateway,
    ready: async () => (await gateway.call('GET', '/readyz')).status,
    async metric(name) {
      const { text } = await gateway.call('GET', '/metrics');
      return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
    },
    logged: (event, since = 0) => withEvent(gateway.logs(), event, since),
    loggedSoFar: async (event, since = 0) => withEvent(await gateway.logsSoFar(), event, since),
    mark: async () => (await gateway.logsSoFar()).length,
  };
}

async function readPeriods(postgres: PostgresServer, user: number): Promise<readonly PairPeriod[]> {
  const rows = await postgres.query(
    'SELECT p.period, p.login_at, p.logout_at, p.reason, p.settled_at, u.last_spirit_gain_time AS user_time ' +
      'FROM lingxi_periods p LEFT JOIN users u ON u.id = p.user_id WHERE p.user_id = $1 ORDER BY p.period',
    [user],
  );
  return rows.map((row) => ({
    period: Number(row['period']),
    loginAt: toMs(row['login_at']) ?? Number.NaN,
    logoutAt: toMs(row['logout_at']),
    reason: row['reason'] === null ? null : String(row['reason']),
    settledAt: toMs(row['settled_at']),
    userTime: toMs(row['user_time']),
  }));
}

async function createRole(postgres: PostgresServer, role: string): Promise<void> {
  await postgres.query(`CREATE ROLE "${role}" LOGIN`);
  await postgres.query(`GRANT CREATE, USAGE ON SCHEMA public TO "${role}"`);
  await postgres.query(`GRANT SELECT, UPDATE ON users TO "${role}"`);
}

function toMs(value: unknown): number | null {
  return value instanceof Date ? value.getTime() : null;
}
