import type { Redis } from 'ioredis';
import type { Clock } from '../lib/clock.ts';
import { reconnectDelay } from './connector.ts';
import { type MasterReport, newestMaster, openSurveyed, type SurveyOptions, survey } from './survey.ts';
import type { HostAndPort, RedisAddress } from './url.ts';

export type SentinelAddress = Extract<RedisAddress, { kind: 'sentinel' }>;

export interface SentinelOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** The master, as most Sentinels name it. */
export function findSentinelMaster(address: SentinelAddress, asked: SentinelOptions): Promise<HostAndPort> {
  const options = surveyOf(address, asked);
  return newestMaster(asked.clock, address.hosts, (host) =>
    survey(host, options, (sentinel) => askSentinel(sentinel, address.master)),
  );
}

/**
 * Receives the Sentinels' messages about failovers. An old master that still runs keeps its clients for several seconds after
 * the switch. What they write there is lost once it becomes a replica, so the client must leave at once.
 */
export class SentinelWatch {
  readonly #sentinels: readonly Redis[];

  constructor(address: SentinelAddress, watching: SentinelOptions, onSwitch: (master: HostAndPort) => void) {
    const options = surveyOf(address, watching);
    this.#sentinels = address.hosts.map((host) => {
      const sentinel = openSurveyed(host, options, {
        // If a Sentinel is down, the subscription waits until it is back.
        commandTimeout: undefined,
        maxRetriesPerRequest: null,
        retryStrategy: reconnectDelay,
        keepAlive: watching.timeoutMs,
      });
      sentinel.on('message', (_channel: string, text: string) => {
        const [name, , , newHost, newPort] = text.split(' ');
        if (name === address.master && newHost !== undefined)
          onSwitch({ host: newHost, port: Number(newPort) });
      });
      sentinel.subscribe('+switch-master').catch(() => undefined);
      return sentinel;
    });
  }

  close(): void {
    for (const sentinel of this.#sentinels) sentinel.disconnect();
  }
}

function surveyOf({ tls, sentinel }: SentinelAddress, { clock, timeoutMs }: SentinelOptions): SurveyOptions {
  return { clock, timeoutMs, tls, ...sentinel };
}

async function askSentinel(sentinel: Redis, name: string): Promise<MasterReport> {
  // At the end of a failover, only the first of these commands names the new master already.
  const [address, state] = await Promise.all([
    sentinel.call('SENTINEL', 'get-master-addr-by-name', name),
    sentinel.call('SENTINEL', 'master', name).catch((error: Error) => {
      throw error.message.includes('No such master')
        ? new Error(`this Sentinel knows no master ${name}`)
        : error;
    }),
  ]);
  const [host, port] = (address ?? []) as string[];
  const fields = state as string[];
  if (host === undefined || port === undefined) throw new Error(`this Sentinel knows no master ${name}`);
  return {
    master: { host, port: Number(port) },
    epoch: Number(fields[fields.indexOf('config-epoch') + 1]),
  };
}
