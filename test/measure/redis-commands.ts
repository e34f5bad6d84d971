import { connect as connectTcp } from 'node:net';
import type { Gateway } from '../support/gateway-process.ts';
import { readMetrics } from '../support/metrics.ts';
import { sleep } from '../support/ports.ts';
import type { RedisServer } from '../support/services.ts';
import { connectUsers } from './pinging-clients.ts';
import { withGateway, withStores } from './processes.ts';
import type { Row } from './rows.ts';
import type { Settings } from './settings.ts';

interface Bench {
  readonly gateway: Gateway;
  readonly redis: RedisServer;
}

const SECOND_MS = 1000;

/** B1r: what heartbeats cost Redis. */
export const measureRedisCommands = ({ runtime, pinging, seconds }: Settings): Promise<readonly Row[]> =>
  withStores((stores, { redis }) =>
    withGateway({ runtime, stores }, (gateway) => measure({ gateway, redis }, pinging, seconds)),
  );

/** Commands that Redis is sent, those within scripts apart, while users do nothing but ping each second. */
async function measure(bench: Bench, users: number, seconds: number): Promise<readonly Row[]> {
  const { clients, rest } = await connectUsers(bench.gateway, users);
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
