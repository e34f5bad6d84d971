import { connect as connectTcp } from 'node:net';
import { parseArgs } from 'node:util';
import { type Gateway, type Runtime, startGateway } from '../support/gateway-process.ts';
import { readMetrics } from '../support/metrics.ts';
import { eventually, sleep } from '../support/ports.ts';
import { type PostgresServer, type RedisServer, startPostgres, startRedis } from '../support/services.ts';
import { createUsers, KNOWN_USERS } from '../support/stores.ts';

/** One line of the table. */
interface Row {
  readonly what: string;
  readonly measured: string | number;
  readonly goal?: string;
  readonly met?: boolean;
}

/** A node with its stores, under measurement. */
interface Bench {
  readonly gateway: Gateway;
  readonly redis: RedisServer;
  readonly postgres: PostgresServer;
}

interface PresenceEvent {
  readonly cursor: string;
  readonly type: string;
  readonly at: number;
}

/** As Bun has it. */
const BunWebSocket = WebSocket as unknown as new (
  url: string,
  options: { readonly headers: Readonly<Record<string, string>> },
) => WebSocket;

const PING = '{"type":"ping"}';
const SLICES = 20;
const SECOND_MS = 1000;
const CONNECTING = 200;
const GIVE_UP_MS = 60_000;
const MAX_ATTEMPTS = 5;

/** Runs both measurements, prints the table, and answers whether every goal was met. */
export async function measureSettlement(args: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      users: { type: 'string', default: '10000' },
      pinging: { type: 'string', default: '1000' },
      seconds: { type: 'string', default: '30' },
      runtime: { type: 'string', default: 'bun' },
    },
  });
  const users = Math.min(Number(values.users), KNOWN_USERS);
  const [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
  await createUsers(postgres);
  const gateway = await startGateway({
    runtime: values.runtime as Runtime,
    stores: { redisUrl: redis.url, databaseUrl: postgres.url },
    env: { LINGXI_MASS_TIMEOUT_SHARE: '0' },
  });
  try {
    const bench = { gateway, redis, postgres };
    const rows = [
      ...(await measureHeartbeats(bench, Number(values.pinging), Number(values.seconds))),
      ...(await measureCrowd(bench, users)),
    ];
    print(rows);
    return rows.every(({ met }) => met !== false);
  } finally {
    await gateway.stop();
    await Promise.all([redis.stop(), postgres.stop()]);
  }
}

/** Commands that Redis is sent, those within scripts apart, while users do nothing but ping each second. */
async function measureHeartbeats(bench: Bench, users: number, seconds: number): Promise<readonly Row[]> {
  const { clients, rest } = await connectUsers(bench, users);
  await sleep(5 * SECOND_MS);
  const heartbeats = async (): Promise<number> =>
    (await readMetrics(bench.gateway))('lingxi_heartbeats_total');
  const before = await heartbeats();
  const stop = await watchCommands(bench.redis);
  await sleep(seconds * SECOND_MS);
  const commands = stop();
  const beats = (await heartbeats()) - before;
  rest();
  for (const client of clients) client.close();
  const total = [...commands.values()].reduce((sum, count) => sum + count, 0);
  const each = [...commands].sort((left, right) => right[1] - left[1]);
  const cost = total / beats;
  return [
    { what: `heartbeats of ${users} users in ${seconds} s`, measured: beats },
    { what: 'Redis commands on the wire meanwhile', measured: total },
    { what: 'of these', measured: each.map(([name, count]) => `${name} ${count}`).join(', ') },
    { what: 'commands a heartbeat', measured: cost.toFixed(4), goal: '<= 0.02', met: cost <= 0.02 },
  ];
}

/** Users who all send their last ping at one moment, with the breaker off. */
async function measureCrowd(bench: Bench, users: number): Promise<readonly Row[]> {
  const { postgres, gateway } = bench;
  const { clients, rest } = await connectUsers(bench, users);
  await sleep(2 * SECOND_MS);
  rest();
  await sleep(SECOND_MS);
  const before = (await eventsAfter(gateway, '0-0')).at(-1)?.cursor ?? '0-0';
  for (const client of clients) client.send(PING);
  // Seldom: who asks takes from the machine what is measured. When it was is asked afterwards.
  await eventually(
    async () => {
      const unsettled = await postgres.query('SELECT 1 FROM lingxi_periods WHERE settled_at IS NULL LIMIT 1');
      if (unsettled.length > 0) throw new Error('still open');
    },
    { timeoutMs: GIVE_UP_MS, intervalMs: SECOND_MS },
  );
  const ends = (await eventsAfter(gateway, before)).filter(({ type }) => type === 'offline');
  // The cursor is the id of the entry in its stream: Redis's clock as the user went offline.
  const late = ascending(ends.map(({ cursor, at }) => Number(cursor.split('-')[0]) - at));
  const deadlines = ascending(ends.map(({ at }) => at));
  const [first = Number.NaN, last = Number.NaN] = [deadlines[0], deadlines.at(-1)];
  const [row] = await postgres.query(
    `SELECT count(*) AS rows, (extract(epoch FROM max(pg_xact_commit_timestamp(xmin))) * 1000)::bigint AS at
     FROM lingxi_periods WHERE logout_at >= $1`,
    [new Date(first)],
  );
  const worst = late.at(-1) ?? Number.NaN;
  const settledMs = Number(row?.['at']) - first;
  const half = late[Math.floor(late.length / 2)] ?? Number.NaN;
  return [
    { what: 'users who timed out', measured: ends.length, goal: `${users}`, met: ends.length === users },
    { what: 'from the first of their deadlines to the last', measured: `${last - first} ms` },
    { what: 'offline in Redis after the deadline, half of them', measured: `${half} ms` },
    {
      ...{ what: 'offline in Redis after the deadline, all', measured: `${worst} ms` },
      ...{ goal: '<= 1000 ms', met: worst <= 1000 },
    },
    {
      ...{ what: 'rows settled in PostgreSQL', measured: Number(row?.['rows']) },
      ...{ goal: `${users}`, met: Number(row?.['rows']) === users },
    },
    {
      ...{ what: 'all settled after the first deadline', measured: `${settledMs} ms` },
      ...{ goal: '<= 2000 ms', met: settledMs <= 2000 },
    },
  ];
}

/** Connects so many users, who begin to ping at once: the first must not time out before the last are there. */
async function connectUsers(
  { gateway }: Bench,
  count: number,
): Promise<{ readonly clients: readonly WebSocket[]; readonly rest: () => void }> {
  const clients: WebSocket[] = [];
  const rest = pingEachSecond(clients);
  for (let start = 0; start < count; start += CONNECTING) {
    const size = Math.min(CONNECTING, count - start);
    const opened = Array.from({ length: size }, (_, index) => open(gateway, start + index + 1));
    clients.push(...(await Promise.all(opened)));
  }
  return { clients, rest };
}

/** As a client does, it comes again after a 503. */
async function open(gateway: Gateway, user: number): Promise<WebSocket> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await tryOpen(gateway, user);
    } catch (error) {
      if (attempt === MAX_ATTEMPTS) throw error;
      await sleep(SECOND_MS);
    }
  }
}

/** Bun's own client: what clients do is paid by the machine that the node shares with them, so they do little. */
function tryOpen(gateway: Gateway, user: number): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${gateway.token(user)}` };
    const socket = new BunWebSocket(gateway.wsUrl, { headers });
    const refused = (): void => reject(new Error('refused'));
    socket.addEventListener('error', refused);
    socket.addEventListener('close', refused);
    const opened = (): void => {
      socket.removeEventListener('error', refused);
      socket.removeEventListener('close', refused);
      resolve(socket);
    };
    socket.addEventListener('open', opened, { once: true });
  });
}

/** Every client once a second, spread over it. */
function pingEachSecond(clients: readonly WebSocket[]): () => void {
  let slice = 0;
  const timer = setInterval(() => {
    for (let index = slice; index < clients.length; index += SLICES) clients[index]?.send(PING);
    slice = (slice + 1) % SLICES;
  }, SECOND_MS / SLICES);
  return () => clearInterval(timer);
}

async function eventsAfter(gateway: Gateway, cursor: string): Promise<readonly PresenceEvent[]> {
  const all: PresenceEvent[] = [];
  for (let from = cursor; ; ) {
    const { body } = await gateway.service('GET', `/api/online/events?limit=1000&cursor=${from}`);
    const events = body['events'] as readonly PresenceEvent[];
    all.push(...events);
    if (events.length === 0) return all;
    from = String(body['cursor']);
  }
}

/** Counts commands by MONITOR, which marks what a script does as `lua`. The answer ends it. */
async function watchCommands(redis: RedisServer): Promise<() => ReadonlyMap<string, number>> {
  const commands = new Map<string, number>();
  const socket = connectTcp(redis.port, '127.0.0.1');
  let rest = '';
  await new Promise<void>((resolve, reject) => {
    socket.setEncoding('utf8').once('error', reject);
    socket.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line.startsWith('+OK')) resolve();
        const [, from, name] = /^\+[\d.]+ \[\d+ ([^\]]+)\] "([^"]+)"/.exec(line) ?? [];
        if (name === undefined || from === 'lua') continue;
        const key = name.toLowerCase();
        commands.set(key, (commands.get(key) ?? 0) + 1);
      }
    });
    socket.write('MONITOR\r\n');
  });
  return () => {
    socket.destroy();
    return commands;
  };
}

function ascending(values: readonly number[]): readonly number[] {
  return [...values].sort((left, right) => left - right);
}

function print(rows: readonly Row[]): void {
  const width = Math.max(...rows.map(({ what }) => what.length));
  for (const { what, measured, goal, met } of rows) {
    const verdict = goal === undefined ? '' : `   goal ${goal}: ${met === true ? 'met' : 'MISSED'}`;
    process.stdout.write(`${what.padEnd(width)}   ${measured}${verdict}\n`);
  }
}
