import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Child, run, startChild } from './child.ts';
import { eventually, freePort, waitForPort } from './ports.ts';
import { findRedis, type RedisBinaries } from './redis-binaries.ts';
import { callRedis } from './redis-call.ts';

/** A database that a test may fill and flush. */
export interface RedisDatabase {
  readonly url: string;
  /**
   * As redis-cli, and by it where options stand first: its output without the last newline; arrays stand one element a line.
   * An error reply rejects.
   */
  cli(...args: string[]): Promise<string>;
  stop(): Promise<void>;
}

/** A Redis of a test's own. */
export interface RedisServer extends RedisDatabase {
  readonly port: number;
  /** Ends it without a chance to save. */
  kill(): Promise<void>;
  /** Stops the process so that connections hang instead of breaking. */
  freeze(): void;
  thaw(): void;
  /** Starts it again on the same port, after {@link kill} where it still runs; with `persistence` it has its data. */
  restart(): Promise<void>;
}

export interface RedisOptions {
  /** Default: a free one. */
  readonly port?: number;
  /** Appends every write to a file (fsync each second), so that a restart finds the data. Default false. */
  readonly persistence?: boolean;
  /** Further arguments of redis-server, as in `['--replicaof', '127.0.0.1 6379']`. */
  readonly args?: readonly string[];
  /** Variables that the server sees beside those it needs. */
  readonly env?: NodeJS.ProcessEnv;
}

const START_TIMEOUT_MS = 30_000;

/** Starts a Redis or Valkey of its own on a free port. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const binaries = await findRedis();
  const dir = mkdtempSync(join(tmpdir(), 'lingxi-redis-'));
  const port = options.port ?? (await freePort());
  let child = await launch(binaries, { ...options, dir, port });
  const kill = async (): Promise<void> => {
    child.signalGroup('SIGKILL');
    await child.exited;
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    cli: (...args) =>
      args[0]?.startsWith('-') === true
        ? cli(binaries, ['-h', '127.0.0.1', '-p', String(port)], args)
        : callRedis(port, args),
    kill,
    freeze: () => child.signal('SIGSTOP'),
    thaw: () => child.signal('SIGCONT'),
    async restart() {
      if (child.exit() === undefined) await kill();
      child = await launch(binaries, { ...options, dir, port });
    },
    async stop() {
      await kill();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** An empty database for tests that destroy nothing: of `REDIS_URL` where given, else of a Redis of its own. */
export async function openRedisDatabase(): Promise<RedisDatabase> {
  const given = process.env['REDIS_URL'];
  if (given === undefined || given === '') return startRedis();
  const binaries = await findRedis();
  for (let index = 15; index >= 1; index -= 1) {
    const url = new URL(given);
    url.pathname = `/${index}`;
    const database = (...args: string[]): Promise<string> => cli(binaries, ['-u', url.href], args);
    if ((await database('DBSIZE')) !== '0') continue;
    if ((await database('SET', 'lingxi-test:claim', String(process.pid), 'NX', 'EX', '3600')) !== 'OK')
      continue;
    return {
      url: url.href,
      cli: database,
      async stop() {
        await database('FLUSHDB');
      },
    };
  }
  throw new Error('REDIS_URL has no empty database between 1 and 15 for the tests');
}

async function launch(
  binaries: RedisBinaries,
  options: RedisOptions & { readonly dir: string; readonly port: number },
): Promise<Child> {
  const child = startChild(
    binaries.server,
    [
      ...['--port', String(options.port), '--bind', '127.0.0.1', '--dir', options.dir],
      ...['--save', '', '--maxmemory-policy', 'noeviction'],
      ...['--appendonly', options.persistence === true ? 'yes' : 'no'],
      ...(options.args ?? []),
    ],
    { env: { ...binaries.env, ...options.env }, removeOnDeath: options.dir },
  );
  await waitForPort(options.port, START_TIMEOUT_MS, () =>
    child.exit() === undefined ? undefined : `redis-server did not start: ${child.output()}`,
  );
  await eventually(() => waitWhileLoading(options.port), { timeoutMs: START_TIMEOUT_MS });
  return child;
}

/** A Redis that reads its file accepts connections already, and refuses each command. */
async function waitWhileLoading(port: number): Promise<void> {
  try {
    await callRedis(port, ['PING']);
  } catch (error) {
    // Any other refusal is for the tests to see.
    if (error instanceof Error && error.message.startsWith('LOADING')) throw error;
  }
}

async function cli(
  binaries: RedisBinaries,
  where: readonly string[],
  args: readonly string[],
): Promise<string> {
  const output = await run(binaries.cli, [...where, ...args], { env: binaries.env });
  return output.replace(/\n$/, '');
}
