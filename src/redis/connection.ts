import { Redis, type RedisOptions } from 'ioredis';
import type { Clock } from '../lib/clock.ts';
import { CLUSTER_PREFIX, SlotFinder } from './cluster.ts';
import { DISCONNECT_TIMEOUT_MS, masterConnector, reconnectDelay } from './connector.ts';
import { findSentinelMaster, SentinelWatch } from './sentinel.ts';
import { type HostAndPort, parseRedisUrl, type RedisAddress } from './url.ts';

export interface RedisConnectionOptions {
  readonly url: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** A client of exactly one server at a time: the one in the URL, or the master at the time of connecting. */
export interface RedisConnection {
  readonly client: Redis;
  /** A further client for subscriptions, not connected yet. */
  subscriber(): Redis;
  /** A further client that never connects again, not connected yet. */
  apart(): Redis;
  /** Prefix of every key. */
  readonly prefix: string;
  /** Number of the database, which pub/sub ignores. */
  readonly database: number;
  /** Connects. From then on the client reconnects by itself, each time to the present master. */
  connect(): Promise<void>;
  close(): void;
}

const SUBSCRIBER = {
  // The client subscribes again on each new connection, and waits for one.
  enableOfflineQueue: true,
  commandTimeout: undefined,
  maxRetriesPerRequest: null,
} satisfies RedisOptions;
/** The state of such a connection, for example a watched key, must not continue on another connection. */
const APART = { retryStrategy: () => null, reconnectOnError: () => false } satisfies RedisOptions;
/** Longest pause between two tries while Redis loads its file. */
const MAX_LOADING_RETRY_MS = 100;
/** Errors of a server that is not, or no longer, the master. Before Redis 7 the error of a script is part of a longer text. */
const LEFT = /\b(?:READONLY|MOVED|ASK|CLUSTERDOWN|MASTERDOWN|NOREPLICAS)\b|non local key/;

export function openRedisConnection(wanted: RedisConnectionOptions): RedisConnection {
  const parsed = parseRedisUrl(wanted.url);
  if (!parsed.ok) throw new Error(parsed.error.message);
  const address = parsed.value;
  if (address.kind === 'single') {
    const client = new Redis(wanted.url, optionsFor(wanted.timeoutMs));
    return {
      client,
      prefix: '',
      database: address.database,
      subscriber: () => client.duplicate(SUBSCRIBER),
      apart: () => client.duplicate(APART),
      connect: () => client.connect(),
      close: () => client.disconnect(),
    };
  }
  return followMaster(address, wanted);
}

function followMaster(
  address: Exclude<RedisAddress, { kind: 'single' }>,
  wanted: RedisConnectionOptions,
): RedisConnection {
  const find = finderFor(address, wanted);
  let started = false;
  let found: HostAndPort | undefined;
  const connector = (findMaster: () => Promise<HostAndPort>): ReturnType<typeof masterConnector> =>
    masterConnector({ clock: wanted.clock, findMaster, tls: address.tls, mayRetry: () => started });
  const client = new Redis({
    ...optionsFor(wanted.timeoutMs),
    ...(address.username === undefined ? {} : { username: address.username }),
    ...(address.password === undefined ? {} : { password: address.password }),
    ...(address.tls ? { tls: {} } : {}),
    db: address.kind === 'sentinel' ? address.database : 0,
    Connector: connector(async () => {
      found = await find();
      return found;
    }),
  });
  let watch: SentinelWatch | undefined;
  return {
    client,
    subscriber: () => client.duplicate({ ...SUBSCRIBER, Connector: connector(find) }),
    apart: () => client.duplicate({ ...APART, Connector: connector(find) }),
    prefix: address.kind === 'cluster' ? CLUSTER_PREFIX : '',
    database: address.kind === 'sentinel' ? address.database : 0,
    async connect() {
      await client.connect();
      started = true;
      if (address.kind !== 'sentinel') return;
      watch = new SentinelWatch(address, wanted, ({ host, port }) => {
        if (found?.host !== host || found.port !== port) reconnect(client);
      });
    },
    close() {
      watch?.close();
      client.disconnect();
    },
  };
}

/** Ends the present connection, if there is one. The client then makes a new one. */
export function reconnect(client: Redis): void {
  if (client.status === 'ready' || client.status === 'connect') client.disconnect(true);
}

/** Whether the client must leave a server that answers with this error. The next connection may find the master. */
export function mustLeave(error: Error): boolean {
  return LEFT.test(error.message);
}

function finderFor(
  address: Exclude<RedisAddress, { kind: 'single' }>,
  wanted: RedisConnectionOptions,
): () => Promise<HostAndPort> {
  if (address.kind === 'sentinel') return () => findSentinelMaster(address, wanted);
  const finder = new SlotFinder(address, wanted);
  return () => finder.findMaster();
}

function optionsFor(timeoutMs: number) {
  return {
    lazyConnect: true,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    enableOfflineQueue: false,
    // A call on a dead connection must fail. Presence then makes a new claim with the present state.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    enableReadyCheck: true,
    // While Redis loads its file, it estimates how long that takes. It is usually ready sooner (rule PR10).
    maxLoadingRetryTime: MAX_LOADING_RETRY_MS,
    retryStrategy: reconnectDelay,
    reconnectOnError: mustLeave,
  } satisfies RedisOptions;
}
