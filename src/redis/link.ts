import type { Redis } from 'ioredis';
import { type Clock, systemClock } from '../lib/clock.ts';
import { mustLeave, openRedisConnection, type RedisConnection, reconnect } from './connection.ts';
import { TIMED_OUT } from './timed-out.ts';

export interface RedisLinkOptions {
  readonly url: string;
  /** A command that is not answered by then fails, and the connection is made anew (scenario 29). */
  readonly timeoutMs: number;
  /** The system's where none is given. */
  readonly clock?: Clock;
  /** Lua texts by name, for {@link RedisLink.script}. Redis knows them by hash after their first run. */
  readonly scripts?: Readonly<Record<string, string>>;
}

type Script = (key: string, ...args: readonly (string | number)[]) => Promise<unknown>;

/** What the client says of a call that no connection carried. */
const NOT_CONNECTED = /^(?:Stream isn't writeable|Connection is closed|Reached the max retries per request)/;

/** Why Redis cannot be used. */
export class RedisUnavailable extends Error {
  override readonly name = 'RedisUnavailable';
}

/**
 * One connection to one Redis, and what must be known of it: the `run_id` of the server behind it, which every script
 * carries, so that a call meant for the Redis before a restart or failover changes nothing in the next one. With
 * Sentinels or a Cluster it is a connection to the present master: no redirection is ever followed, a new master
 * means a new connection, and that a new `run_id` (ADR 0007).
 */
export class RedisLink {
  readonly client: Redis;
  /** Before every key: `{lingxi}:` on Redis Cluster, else nothing. */
  readonly prefix: string;
  /** Number of the database. Pub/sub ignores it: channels of ours name it. */
  readonly database: number;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #made: RedisConnection;
  readonly #subscribers: Redis[] = [];
  #runId: string | undefined;
  #lastRunId: string | undefined;
  /** Rises with every connection: a lease belongs to one, late calls of an older one are void. */
  #connection = 0;
  /** What ended, or forbids, the present connection. */
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

  /** Resolves once connected; rejects with what the server or the network said. */
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

  /** Runs one of the scripts that the link was made with. A time-out makes the connection anew: nobody knows what became of its call. */
  async script(name: string, key: string, args: readonly (string | number)[]): Promise<unknown> {
    const run = (this.client as unknown as Record<string, Script>)[scriptCommand(name)];
    if (run === undefined) throw new Error(`no script ${name}`);
    return this.guarded(run.call(this.client, key, ...args));
  }

  /** Awaits a command under the same rule. */
  async guarded<Value>(command: Promise<Value>): Promise<Value> {
    try {
      return await command;
    } catch (error) {
      throw this.#explained(error);
    }
  }

  /**
   * A connection to the same master as the link's, for subscriptions or blocking reads. It connects with its first
   * command and closes with the link. A command under way when the connection ends is never answered: listen to `close`.
   */
  subscriber(): Redis {
    const subscriber = this.#made.subscriber();
    subscriber.on('error', () => {});
    // What it asks first has no time limit: a connection that says nothing would leave it waiting for ever.
    subscriber.on('connect', () => {
      this.#clock.after(this.#timeoutMs, () => {
        if (subscriber.status === 'connect') reconnect(subscriber);
      });
    });
    this.#subscribers.push(subscriber);
    return subscriber;
  }

  /** Runs `work` on a connection of its own, which ends with it: watched keys belong to a connection. */
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
    // A subscription has nothing to ask, so it would never notice that its server is no master any more.
    if (this.#lastRunId !== undefined && this.#lastRunId !== runId) this.#subscribers.forEach(reconnect);
    this.#lastRunId = runId;
    return runId;
  }

  /** The client refuses calls without a connection in words of its own: who reads the log needs to know why there is none. */
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
    // What broke this connection without a word may have broken the others, which ask nothing and would wait for ever.
    this.#subscribers.forEach(reconnect);
  }
}

function scriptCommand(name: string): string {
  return `lingxi_${name}`;
}
