import { connect as connectTcp } from 'node:net';
import type { Gateway } from '../../test/support/gateway-process.ts';
import { readMetrics } from '../../test/support/metrics.ts';
import type { RedisServer } from '../../test/support/services.ts';
import { bounded, type Outcome, plain } from '../report/rows.ts';
import { type Load, withGateway, withLoad, withStores } from '../servers/processes.ts';
import type { Settings } from '../settings.ts';

interface Bench {
  readonly gateway: Gateway;
  readonly redis: RedisServer;
  readonly load: Load;
}

const AT_ONCE = 200;
/** After this time, the claims of the logins are finished. */
const WARM_UP_SECONDS = 4;

/** B1r: the cost of heartbeats for Redis. */
export const measureRedisCommands = ({ runtime, pinging, seconds }: Settings): Promise<Outcome> =>
  withStores((stores, { redis }) =>
    withGateway({ runtime, stores }, (gateway) =>
      withLoad((load) => measure({ gateway, redis, load }, pinging, seconds)),
    ),
  );

/** Commands to Redis, without those inside scripts, while users only ping each second. */
async function measure({ gateway, redis, load }: Bench, users: number, seconds: number): Promise<Outcome> {
  const open = { port: gateway.port(), secret: gateway.jwtSecret, first: 1, count: users, pings: true };
  await load.call('open', { ...open, atOnce: AT_ONCE });
  await load.call('beat', { perSecond: users, seconds: WARM_UP_SECONDS });
  const heartbeats = async (): Promise<number> => (await readMetrics(gateway))('lingxi_heartbeats_total');
  const before = await heartbeats();
  const stop = await watchCommands(redis);
  await load.call('beat', { perSecond: users, seconds });
  const commands = stop();
  const beats = (await heartbeats()) - before;
  const total = [...commands.values()].reduce((sum, count) => sum + count, 0);
  const each = [...commands].sort((left, right) => right[1] - left[1]);
  return {
    rows: [
      plain(`B1r heartbeats of ${users} users in ${seconds} s`, beats),
      plain('B1r Redis commands on the wire meanwhile', total),
      plain('B1r of these', each.map(([name, count]) => `${name} ${count}`).join(', ')),
      bounded('B1r commands a heartbeat', total / beats, { atMost: 0.02, unit: '', digits: 4 }),
    ],
  };
}

/** Counts commands by MONITOR, which marks the commands of scripts as `lua`. The returned function stops it. */
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
