import { Redis, type RedisOptions } from 'ioredis';
import type { Clock, Timer } from '../lib/clock.ts';
import { type HostAndPort, shownHost } from './url.ts';

export interface SurveyOptions {
  readonly clock: Clock;
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** Timeout of the connection, and of each command. */
  readonly timeoutMs: number;
}

/** The answer of one server: the master, and how new the server's configuration is. */
export interface MasterReport {
  readonly master: HostAndPort;
  /** Number of the configuration. The highest one is the newest. */
  readonly epoch: number;
}

/** After the first answer, the other servers get this long. A server that is down or frozen must not delay a failover. */
const FURTHER_ANSWERS_MS = 100;

type SurveyedOptions = Pick<
  RedisOptions,
  'commandTimeout' | 'maxRetriesPerRequest' | 'retryStrategy' | 'keepAlive'
>;

/** A connection to a server that is asked for the master. */
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

/** Asks one server and closes the connection. */
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
    // The errors of the commands say only that the connection is closed.
    throw cause ?? error;
  } finally {
    server.disconnect();
  }
}

/**
 * Asks all servers at once. Returns the newest configuration, as soon as a majority has answered: so a server that missed a
 * failover does not decide. With fewer answers it returns the newest of those. If no server knows the master, rejects with the
 * error of one of them.
 */
export function newestMaster(
  clock: Clock,
  hosts: readonly HostAndPort[],
  ask: (host: HostAndPort) => Promise<MasterReport>,
): Promise<HostAndPort> {
  return new Promise((resolve, reject) => {
    let newest: MasterReport | undefined;
    let answers = 0;
    let waiting = hosts.length;
    let fault = 'no host is known';
    let deadline: Timer | undefined;
    const decide = (): void => {
      deadline?.cancel();
      if (newest === undefined) reject(new Error(fault));
      else resolve(newest.master);
    };
    for (const host of hosts) {
      ask(host)
        .then((report) => {
          answers += 1;
          if (newest === undefined || report.epoch > newest.epoch) newest = report;
          deadline ??= clock.after(FURTHER_ANSWERS_MS, decide);
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
