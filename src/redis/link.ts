import type { Redis } from 'ioredis';
import { type Clock, systemClock } from '../lib/clock.ts';
import { mustLeave, openRedisConnection, type RedisConnection, reconnect } from './connection.ts';
import { TIMED_OUT } from './timed-out.ts';

export interface RedisLinkOptions {
  readonly url: string;
  /** If a command gets no answer in this time, it fails, and the link makes a new connection (scenario 29). */
  readonly timeoutMs: number;
  /** Default: the system's clock. */
  readonly clock?: Clock;
  /** Lua texts by name, for {@link RedisLink.script}. Redis knows them by hash after their first run. */
  readonly scripts?: Readonly<Record<string, string>>;
}

type Script = (key: string, ...args: readonly (string | number)[]) => Promise<unknown>;

/** The client's errors for a call without a connection. */
const NOT_CONNECTED = /^(?:Stream isn't writeable|Connection is closed|Reached the max retries per request)/;

/** Why Redis cannot be used. */
export class RedisUnavailable extends Error {
  override readonly name = 'RedisUnavailable';
}

/**
 * One connection to one Redis, and the `run_id` of that server. Every script carries the `run_id`, so a call for the Redis
 * before a restart or failover changes nothing in the next one. With Sentinels or a Cluster it is a connection to the present
 * master. The link follows no redirection: a new master means a new connection and a new `run_id` (ADR 0007).
 */
export class RedisLink {
  readonly client: Redis;
  /** Prefix of every key: `{lingxi}:` on Redis Cluster, otherwise empty. */
  readonly prefix: string;
  /** Number of the database. Pub/sub ignores it, so our channels name it. */
  readonly database: number;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #made: RedisConnection;
  readonly #subscribers: Redis[] = [];
  #runId: string | undefined;
  #lastRunId: string | undefined;
  /** Rises with every connection. A lease belongs to one connection, so late calls of an older one are void. */
  #connection = 0;
  /** Why the last connection ended or could not be made. */
  #lastError = 'not connected yet';

  constructor(options: RedisLinkOptions) {
    this.#clock = options.clock ?? systemClock();
    this.#timeoutMs = options.timeoutMs;
    this.#made = openRedisConnection({ ...options, clock: this.#clock });
    this.client = this.#made.client;
    this.prefix = this.#made.prefix;
    this.database = this.#made.database;
    for (const [name, lua] of Object.entries(options.scripts ?? {}))
      this.client.defineCommand(scriptCommand(name), { numberOfKeys: 1, lua });
    this.client.on('error', (error: Error) => {
      this.#lastError = error.message;
    });
    this.client.on('ready', () => {
      this.#lastError = 'the connection ended';
    });
    this.client.on('close', () => {
      this.#runId = undefined;
    });
  }

  /** Resolves once connected. Rejects with the error of the server or the network. */
  async connect(): Promise<void> {
    try {
      await this.#made.connect();
      await this.#identify();
    } catch (error) {
      const isSaid = error instanceof Error && !NOT_CONNECTED.test(error.message);
      throw new RedisUnavailable(isSaid ? error.message : this.#lastError);
    }
  }

  /** Name of the present connection, for the lease. */
  get connectionName(): string {
    return String(this.#connection);
  }

  /** `run_id` of the server behind the present connection. */
  async runId(): Promise<string> {
    return this.#runId ?? this.#identify();
  }

  /** Runs one of the link's scripts. After a time-out, the outcome of the call is unknown, and the link makes a new connection. */
  async script(name: string, key: string, args: readonly (string | number)[]): Promise<unknown> {
    const run = (this.client as unknown as Record<string, Script>)[scriptCommand(name)];
    if (run === undefined) throw new Error(`no script ${name}`);
    return this.guarded(run.call(this.client, key, ...args));
  }

  /** Awaits a command; the same applies after a time-out. */
  async guarded<Value>(command: Promise<Value>): Promise<Value> {
    try {
      return await command;
    } catch (error) {
      throw this.#explained(error);
    }
  }

  /**
   * A further connection to the link's master, for subscriptions or blocking reads. It connects with its first command and
   * closes with the link. If the connection ends during a command, that command never settles: listen to `close`.
   */
  subscriber(): Redis {
    const subscriber = this.#made.subscriber();
    subscriber.on('error', () => {});
    // The first command has no time limit. Without this, a silent connection would block it forever.
    subscriber.on('connect', () => {
      this.#clock.after(this.#timeoutMs, () => {
        if (subscriber.status === 'connect') reconnect(subscriber);
      });
    });
    this.#subscribers.push(subscriber);
    return subscriber;
  }

  /** Runs `work` on its own connection and closes it afterwards. Watched keys belong to a connection. */
  async apart<Value>(work: (client: Redis) => Promise<Value>): Promise<Value> {
    const client = this.#made.apart();
    client.on('error', () => {});
    try {
      await client.connect();
      return await work(client);
    } finally {
      client.disconnect();
    }
  }

  /** INFO of the server, one value. */
  async info(section: string, name: string): Promise<string | undefined> {
    const text = await this.guarded(this.client.info(section));
    return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(text)?.[1];
  }

  /** Closes without waiting for what is under way. */
  disconnect(): void {
    for (const subscriber of this.#subscribers) subscriber.disconnect();
    this.#made.close();
  }

  async close(): Promise<void> {
    const quit = this.client.status === 'ready' ? this.client.quit().catch(() => undefined) : undefined;
    await quit;
    this.disconnect();
  }

  async #identify(): Promise<string> {
    const runId = await this.info('server', 'run_id');
    if (runId === undefined) throw new RedisUnavailable('INFO names no run_id');
    if (this.#runId !== runId) this.#connection += 1;
    this.#runId = runId;
    // A subscription sends no commands, so it would never notice that its server is no longer the master.
    if (this.#lastRunId !== undefined && this.#lastRunId !== runId) this.#subscribers.forEach(reconnect);
    this.#lastRunId = runId;
    return runId;
  }

  /** The client's own error says only that there is no connection. This adds the reason, for the log. */
  #explained(error: unknown): unknown {
    if (!(error instanceof Error)) return error;
    if (NOT_CONNECTED.test(error.message)) return new RedisUnavailable(`not connected: ${this.#lastError}`);
    const isTimedOut = error.message === TIMED_OUT;
    if (isTimedOut || mustLeave(error)) this.#lastError = error.message;
    if (isTimedOut) this.#reconnect();
    return error;
  }

  #reconnect(): void {
    this.#runId = undefined;
    this.#connection += 1;
    reconnect(this.client);
    // The subscriptions may be half-open for the same reason. They send no commands, so they would not notice it.
    this.#subscribers.forEach(reconnect);
  }
}

function scriptCommand(name: string): string {
  return `lingxi_${name}`;
}
