import { Redis, type RedisOptions } from 'ioredis';
import type { Clock, Timer } from '../lib/clock.ts';
import { type HostAndPort, shownHost } from './url.ts';

export interface SurveyOptions {
  readonly clock: Clock;
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** For the connection and for each command. */
  readonly timeoutMs: number;
}

/** What one of several servers says of where the master is. */
export interface Opinion {
  readonly master: HostAndPort;
  /** Configurations are numbered: the highest is the newest. */
  readonly epoch: number;
}

/** How long the others may take once one has answered: a server that is down or frozen must not delay a failover. */
const PATIENCE_MS = 100;

type SurveyedOptions = Pick<
  RedisOptions,
  'commandTimeout' | 'maxRetriesPerRequest' | 'retryStrategy' | 'keepAlive'
>;

/** A connection to a server that is asked where the master is. */
export function openSurveyed(host: HostAndPort, options: SurveyOptions, more: SurveyedOptions = {}): Redis {
  const redis = new Redis({
    ...host,
    ...(options.username === undefined ? {} : { username: options.username }),
    ...(options.password === undefined ? {} : { password: options.password }),
    ...(options.tls ? { tls: {} } : {}),
    protocol: 2,
    lazyConnect: true,
    connectTimeout: options.timeoutMs,
    commandTimeout: options.timeoutMs,
    disconnectTimeout: 0,
    enableReadyCheck: false,
    disableClientInfo: true,
    maxRetriesPerRequest: 0,
    retryStrategy: null,
    ...more,
  });
  redis.on('error', () => {});
  return redis;
}

/** Asks one server and hangs up. */
export async function survey<Answer>(
  host: HostAndPort,
  options: SurveyOptions,
  ask: (server: Redis) => Promise<Answer>,
): Promise<Answer> {
  const server = openSurveyed(host, options);
  let cause: Error | undefined;
  server.on('error', (error: Error) => {
    cause = error;
  });
  try {
    return await ask(server);
  } catch (error) {
    // What the commands say is only that the connection is closed.
    throw cause ?? error;
  } finally {
    server.disconnect();
  }
}

/**
 * Asks all at once and takes the newest configuration that a majority knows, so that one who missed a failover is
 * outvoted. With fewer answers it takes the newest of those. Rejects with what one of them said where none knows.
 */
export function newestOpinion(
  clock: Clock,
  hosts: readonly HostAndPort[],
  ask: (host: HostAndPort) => Promise<Opinion>,
): Promise<HostAndPort> {
  return new Promise((resolve, reject) => {
    let newest: Opinion | undefined;
    let answers = 0;
    let waiting = hosts.length;
    let fault = 'no host is known';
    let patience: Timer | undefined;
    const decide = (): void => {
      patience?.cancel();
      if (newest === undefined) reject(new Error(fault));
      else resolve(newest.master);
    };
    for (const host of hosts) {
      ask(host)
        .then((opinion) => {
          answers += 1;
          if (newest === undefined || opinion.epoch > newest.epoch) newest = opinion;
          patience ??= clock.after(PATIENCE_MS, decide);
          if (answers > hosts.length / 2) decide();
        })
        .catch((error: unknown) => {
          fault = `${shownHost(host)}: ${error instanceof Error ? error.message : String(error)}`;
        })
        .finally(() => {
          waiting -= 1;
          if (waiting === 0) decide();
        });
    }
    if (hosts.length === 0) decide();
  });
}
