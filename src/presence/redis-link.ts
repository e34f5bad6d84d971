import { Redis } from 'ioredis';
import { loadScripts, SCRIPT_NAMES, type ScriptName } from './redis-scripts.ts';

export interface RedisLinkOptions {
  readonly url: string;
  /** A command that is not answered by then fails, and the connection is made anew (scenario 29). */
  readonly timeoutMs: number;
}

/** Longest pause between two tries to connect: a Redis that is back is found within the 2 s of rule PR10. */
const MAX_RECONNECT_DELAY_MS = 500;

type Script = (key: string, ...args: readonly (string | number)[]) => Promise<unknown>;

/** Why Redis cannot be used. */
export class RedisUnavailable extends Error {
  override readonly name = 'RedisUnavailable';
}

/**
 * One connection to one Redis, and what must be known of it: the `run_id` of the server behind it, which every script
 * carries, so that a call meant for the Redis before a restart or failover changes nothing in the next one.
 */
export class RedisLink {
  readonly client: Redis;
  #runId: string | undefined;
  /** Rises with every connection: a lease belongs to one, late calls of an older one are void. */
  #connection = 0;
  #lastError = 'not connected yet';

  constructor(options: RedisLinkOptions) {
    this.client = new Redis(options.url, {
      lazyConnect: true,
      connectTimeout: options.timeoutMs,
      commandTimeout: options.timeoutMs,
      enableOfflineQueue: false,
      // A call of a dead connection must fail: it would be stated anew, with what is true then.
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      enableReadyCheck: true,
      retryStrategy: (attempt) => Math.min(50 * attempt, MAX_RECONNECT_DELAY_MS),
      reconnectOnError: (error) => error.message.startsWith('READONLY'),
    });
    const scripts = loadScripts();
    for (const name of SCRIPT_NAMES)
      this.client.defineCommand(`lingxi_${name}`, { numberOfKeys: 1, lua: scripts[name] });
    this.client.on('error', (error: Error) => {
      this.#lastError = error.message;
    });
    this.client.on('close', () => {
      this.#runId = undefined;
    });
  }

  /** Resolves once connected; rejects with what the server or the network said. */
  async connect(): Promise<void> {
    try {
      await this.client.connect();
      await this.#identify();
    } catch (error) {
      throw new RedisUnavailable(
        this.#lastError === 'not connected yet' && error instanceof Error ? error.message : this.#lastError,
      );
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

  /** Runs one of our scripts. A time-out makes the connection anew: nobody knows what became of its call. */
  async script(name: ScriptName, key: string, args: readonly (string | number)[]): Promise<unknown> {
    const run = (this.client as unknown as Record<string, Script>)[`lingxi_${name}`];
    if (run === undefined) throw new Error(`no script ${name}`);
    return this.guarded(run.call(this.client, key, ...args));
  }

  /** Awaits a command under the same rule. */
  async guarded<Value>(command: Promise<Value>): Promise<Value> {
    try {
      return await command;
    } catch (error) {
      if (error instanceof Error && error.message === 'Command timed out') this.#reconnect();
      throw error;
    }
  }

  /** INFO of the server, one value. */
  async info(section: string, name: string): Promise<string | undefined> {
    const text = await this.guarded(this.client.info(section));
    return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(text)?.[1];
  }

  async close(): Promise<void> {
    const quit = this.client.status === 'ready' ? this.client.quit().catch(() => undefined) : undefined;
    await quit;
    this.client.disconnect();
  }

  async #identify(): Promise<string> {
    const runId = await this.info('server', 'run_id');
    if (runId === undefined) throw new RedisUnavailable('INFO names no run_id');
    if (this.#runId !== runId) this.#connection += 1;
    this.#runId = runId;
    return runId;
  }

  #reconnect(): void {
    this.#runId = undefined;
    this.#connection += 1;
    if (this.client.status === 'ready' || this.client.status === 'connect') this.client.disconnect(true);
  }
}

/** The URL without what is secret in it. */
export function shownRedisUrl(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url);
    return `${protocol}//${host}${pathname}`;
  } catch {
    return 'REDIS_URL';
  }
}
