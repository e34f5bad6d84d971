import { expect } from 'vitest';
import { loadScripts } from '../../src/presence/store/redis/scripts.ts';
import { RedisLink } from '../../src/redis/link.ts';
import { type Gateway, type Runtime, startGateway } from './gateway-process.ts';
import { eventually, sleep } from './ports.ts';
import { type PresenceView, viewPresence, type Welcome, welcomeOf } from './presence-view.ts';
import type { RedisServer } from './redis.ts';
import type { RedisDeployment } from './redis-sentinel.ts';
import { type PostgresServer, startPostgres } from './services.ts';
import { createUsers, freshUser } from './stores.ts';
import type { Client } from './ws-client.ts';

export interface Node {
  readonly gateway: Gateway;
  readonly view: PresenceView;
}

/** Two gateways, one on each runtime, on a Redis with several processes. */
export interface Site<Redis extends RedisDeployment> {
  readonly redis: Redis;
  readonly postgres: PostgresServer;
  readonly nodes: readonly Node[];
  node(runtime: Runtime): Node;
  stop(): Promise<void>;
}

/** A user who stays connected while the master changes. */
export interface Guest {
  readonly user: number;
  readonly node: Node;
  readonly client: Client;
  readonly welcome: Welcome;
}

/** Limit for the effects of a promotion: PR10 and PR11 give nodes 2 s, plus one for suites that share the cores. */
const RESTORE_MS = 3000;
const GUESTS_A_NODE = 20;
/**
 * Half of the default. The doctor waits for one timeout, and an entry that a dead connection took waits for one timeout + 1 s.
 */
const HEARTBEAT_TIMEOUT_MS = 5_000;
/** A message of the push channel that has not arrived by then is lost: it is delivered at most once. */
const PUBLISHED_MS = 1_000;
/** An entry of a cut connection is taken over after the heartbeat timeout + 1 s, at the next check. */
const TAKEN_OVER_MS = 16_000;
/** Number of calls of a probe in progress at the same time, and the pause after each. */
const PROBE_CALLS = 3;
const PROBE_PAUSE_MS = 10;

export async function openSite<Redis extends RedisDeployment>(
  start: () => Promise<Redis>,
): Promise<Site<Redis>> {
  const [redis, postgres] = await Promise.all([start(), startPostgres()]);
  const started: Node[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(started.map(({ gateway }) => gateway.stop()));
    await Promise.all([redis.stop(), postgres.stop()]);
  };
  try {
    await createUsers(postgres);
    const stores = { redisUrl: redis.url, databaseUrl: postgres.url };
    const begin = async (runtime: Runtime): Promise<void> => {
      const env = {
        LINGXI_NODE_NAME: runtime,
        LINGXI_HEARTBEAT_TIMEOUT_MS: String(HEARTBEAT_TIMEOUT_MS),
        LINGXI_PING_INTERVAL_MS: String(HEARTBEAT_TIMEOUT_MS * 0.3),
      };
      const gateway = await startGateway({ runtime, stores, env });
      started.push({ gateway, view: viewPresence({ gateway }) });
      await untilReady(gateway);
    };
    const begun = await Promise.allSettled((['bun', 'node'] as const).map(begin));
    for (const outcome of begun) if (outcome.status === 'rejected') throw outcome.reason;
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    redis,
    postgres,
    nodes: started,
    node(runtime) {
      const node = started.find(({ gateway }) => gateway.runtime === runtime);
      if (node === undefined) throw new Error(`no gateway on ${runtime}`);
      return node;
    },
    stop,
  };
}

/** Users with a socket on each node. */
export async function invite(site: Pick<Site<RedisDeployment>, 'nodes'>): Promise<readonly Guest[]> {
  const places = site.nodes.flatMap((node) => Array.from({ length: GUESTS_A_NODE }, () => node));
  return Promise.all(
    places.map(async (node) => {
      const user = freshUser();
      const client = await node.view.v1(user);
      client.keepAlive(500);
      return { user, node, client, welcome: await welcomeOf(client) };
    }),
  );
}

/**
 * Uses `change` to make another server the master, and checks the rules: sockets and periods stay, and both nodes are back within
 * 2 s of the promotion. Returns the former master.
 */
export async function surviveFailover<Redis extends RedisDeployment>(
  site: Site<Redis>,
  change: (master: RedisServer) => Promise<unknown>,
): Promise<RedisServer> {
  const { redis, nodes } = site;
  const guests = await invite(site);
  const former = await redis.master();
  const changedAt = Date.now();
  await change(former);
  const master = await redis.promoted(former);
  const promotedAt = Date.now();
  await eventually(async () => {
    for (const { gateway } of nodes) {
      // By the clock of the node: a line about an earlier change may arrive now.
      expect(restoredAt(gateway)).toBeGreaterThanOrEqual(changedAt);
      expect((await gateway.call('GET', '/readyz')).status).toBe(200);
    }
    expect(await redis.cli('HGET', `${redis.prefix}lingxi:world`, 'run')).toBe(
      /run_id:(\w+)/.exec(await redis.cli('INFO', 'server'))?.[1],
    );
  });
  // By the clock of the nodes: a line may wait in the pipe to this process.
  const restoredMs = Math.max(0, ...nodes.map(({ gateway }) => restoredAt(gateway) - promotedAt));
  process.stdout.write(`restored ${Math.round(restoredMs)} ms after the promotion\n`);
  expect(restoredMs).toBeLessThan(RESTORE_MS);
  expect(master).toBe(await redis.master());
  await stillThere(site, guests);
  await moveAndLeave(site, guests);
  return former;
}

/** The observations of a link while the servers behind it changed. */
export interface Probe {
  /** Calls that ran on a server other than the one whose `run_id` they named. */
  readonly strays: readonly string[];
  /** `run_id` of every server that ran a call. */
  readonly servers: ReadonlySet<string>;
  stop(): Promise<void>;
}

/**
 * Makes calls many times a second, as a store calls its scripts. Each call names a `run_id` and returns the one of the server
 * that ran it.
 */
export async function startProbe(url: string): Promise<Probe> {
  const link = new RedisLink({ url, timeoutMs: 1000, scripts: loadScripts() });
  await link.connect();
  const strays: string[] = [];
  const servers = new Set<string>();
  let running = true;
  const call = async (): Promise<void> => {
    const named = await link.runId();
    const script = "return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')";
    const actual = String(await link.guarded(link.client.eval(script, 1, `${link.prefix}lingxi:world`)));
    servers.add(actual);
    if (named !== actual) strays.push(`${named} ran on ${actual}`);
  };
  const loop = async (): Promise<void> => {
    while (running) {
      await call().catch(() => undefined);
      await sleep(PROBE_PAUSE_MS);
    }
  };
  const loops = Array.from({ length: PROBE_CALLS }, loop);
  return {
    strays,
    servers,
    async stop() {
      running = false;
      await Promise.all(loops);
      link.disconnect();
    },
  };
}

/** When the node wrote its newest `presence-restored` line; `NaN` if none has arrived. */
function restoredAt(gateway: Gateway): number {
  const line = gateway.logs().findLast(({ event }) => event === 'presence-restored');
  return Date.parse(String(line?.['time']));
}

async function stillThere(site: Site<RedisDeployment>, guests: readonly Guest[]): Promise<void> {
  const { redis, postgres, nodes } = site;
  const ids = guests.map(({ user }) => user);
  await eventually(async () => {
    const members = new Set(
      (await redis.cli('SMEMBERS', `${redis.prefix}server:online:players`)).split('\n'),
    );
    expect(ids.filter((id) => !members.has(String(id)))).toEqual([]);
  });
  for (const { client } of guests) expect(client.socket.readyState).toBe(client.socket.OPEN);
  const rows = await postgres.query(
    'SELECT user_id, period, logout_at FROM lingxi_periods WHERE user_id = ANY($1) ORDER BY user_id',
    [ids],
  );
  const known = guests.toSorted((left, right) => left.user - right.user);
  expect(rows.map((row) => [Number(row['user_id']), Number(row['period']), row['logout_at']])).toEqual(
    known.map(({ user, welcome }) => [user, welcome.period, null]),
  );
  for (const { gateway } of nodes) {
    const ended = (await gateway.logsSoFar()).filter((line) => line['event'] === 'logged-out');
    expect(ended.filter((line) => ids.includes(Number(line['userId'])))).toEqual([]);
  }
  // A message on the channel reaches the nodes that listen at that moment. Each node finds the new master by itself.
  await eventually(async () =>
    expect(await redis.cli('PUBSUB', 'NUMSUB', 'lingxi:push')).toBe(`lingxi:push\n${nodes.length}`),
  );
  await eventually(
    async () => {
      await redis.cli('PUBLISH', 'lingxi:push', pushOf(ids));
      await Promise.all(guests.map(({ client }) => client.next('news', PUBLISHED_MS)));
    },
    { timeoutMs: 10_000 },
  );
  await redis.cli('XADD', `${redis.prefix}lingxi:push:stream`, '*', 'message', pushOf(ids, 'entry'));
  await Promise.all(guests.map(({ client }) => client.next('entry', TAKEN_OVER_MS)));
}

/** One user per node moves to the other node, and all log out there. */
async function moveAndLeave(site: Site<RedisDeployment>, guests: readonly Guest[]): Promise<void> {
  for (const node of site.nodes) {
    const other = site.nodes.find((candidate) => candidate !== node) ?? node;
    const guest = guests.find((candidate) => candidate.node === node);
    if (guest === undefined) throw new Error('no guest');
    const moved = await other.view.v1(guest.user);
    const welcome = await welcomeOf(moved);
    expect(welcome).toMatchObject({ period: guest.welcome.period, resumed: true });
    expect(welcome.epoch).toBeGreaterThan(guest.welcome.epoch);
    expect((await guest.client.closed).code).toBe(4001);
    expect((await node.view.logout(guest.user)).status).toBe(200);
    expect((await moved.closed).code).toBe(4000);
    await settled(site, guest.user);
  }
  await Promise.all(
    guests.map(async ({ user, node, client }) => {
      await node.view.logout(user);
      client.terminate();
    }),
  );
}

/** Resolves when the user's only period is settled as a logout and Redis shows no user online. */
export async function settled(site: Site<RedisDeployment>, user: number): Promise<void> {
  const { redis, postgres } = site;
  await eventually(async () => {
    const rows = await postgres.query('SELECT reason, settled_at FROM lingxi_periods WHERE user_id = $1', [
      user,
    ]);
    expect(rows).toEqual([{ reason: 'logout', settled_at: expect.any(Date) }]);
  });
  expect(await redis.cli('HGET', `${redis.prefix}player:online:${user}`, 'status')).toBe('offline');
  expect(await redis.cli('SISMEMBER', `${redis.prefix}server:online:players`, String(user))).toBe('0');
}

export function pushOf(userIds: readonly number[], type = 'news'): string {
  return JSON.stringify({ to: { userIds }, type, data: 1 });
}

async function untilReady(gateway: Gateway): Promise<void> {
  await eventually(async () => expect((await gateway.call('GET', '/readyz')).status).toBe(200), {
    timeoutMs: 30_000,
  });
}
