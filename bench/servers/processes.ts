import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { REPOSITORY } from '../../test/support/cache.ts';
import {
  type Gateway,
  gatewayEnvironment,
  type Runtime,
  type Stores,
  startGateway,
} from '../../test/support/gateway-process.ts';
import { readMetrics } from '../../test/support/metrics.ts';
import { sleep } from '../../test/support/ports.ts';
import { startPostgres, startRedis } from '../../test/support/services.ts';
import { createUsers } from '../../test/support/stores.ts';
import { type Helper, startHelper } from '../commands.ts';
import type { LoadCommands } from '../load/load.ts';
import type { LibraryCommands } from './library.ts';

export type Load = Helper<LoadCommands>;

/** With so few heartbeats, only messages cost something. Presence, credentials and metrics work as usual. */
export const SELDOM_HEARTBEATS = {
  LINGXI_HEARTBEAT_TIMEOUT_MS: '600000',
  LINGXI_HTTP_TIMEOUT_MS: '600000',
  LINGXI_PING_INTERVAL_MS: '180000',
  LINGXI_READ_TIMEOUT_MS: '3600000',
};

/** Users of a storm do not ping, and the first must not time out before the last is connected. */
export const LONG_TIMEOUT = { LINGXI_HEARTBEAT_TIMEOUT_MS: '60000' };

/** A living server answers within this time. */
const ANSWER_MS = 3_000;
/** The end of a process is known within this time. */
const NOTICE_MS = 200;

const LOAD = fileURLToPath(new URL('../load/load.ts', import.meta.url));
const LIBRARY = fileURLToPath(new URL('library.ts', import.meta.url));
/** This program runs on Bun; `execPath` names the Node that starts the servers. */
export const BUN = process.argv[0] ?? 'bun';

/** Runs `work` with a load process, which ends with it. */
export async function withLoad<T>(work: (load: Load) => Promise<T>): Promise<T> {
  const load = startHelper<LoadCommands>('the load process', [BUN, '--no-env-file', LOAD]);
  try {
    return await work(load);
  } finally {
    await load.stop();
  }
}

/**
 * Logs in one user. The first login on a Redis that has just started waits for up to 2 s, because other nodes may have users to
 * restore (rule PR11). So measured logins come after it.
 */
export async function firstLogin(load: Load, gateway: Gateway, userId: number): Promise<void> {
  await load.call('open', {
    ...{ port: gateway.port(), secret: gateway.jwtSecret, first: userId, count: 1, atOnce: 1 },
  });
}

/** Runs `work` with a new gateway. If it fails because the gateway ended, the error says so. */
export async function withGateway<T>(
  options: {
    readonly runtime: Runtime;
    readonly stores: Stores;
    readonly env?: Readonly<Record<string, string>>;
  },
  work: (gateway: Gateway) => Promise<T>,
): Promise<T> {
  const gateway = await startGateway(options);
  try {
    return await work(gateway);
  } catch (error) {
    const how = await endOf(gateway);
    if (how === undefined) throw error;
    throw new Error(`the server ended during the measurement (${how})`, { cause: error });
  } finally {
    await gateway.stop();
  }
}

/** Runs `work` with a Redis, and a PostgreSQL that knows the users. Its commits wait for the disk, as in production. */
export async function withStores<T>(
  work: (stores: Exclude<Stores, 'embedded'>, servers: Servers) => Promise<T>,
): Promise<T> {
  const redis = await startRedis();
  try {
    const postgres = await startPostgres({ syncs: true });
    try {
      await createUsers(postgres);
      return await work({ redisUrl: redis.url, databaseUrl: postgres.url }, { redis, postgres });
    } finally {
      await postgres.stop();
    }
  } finally {
    await redis.stop();
  }
}

export interface Servers {
  readonly redis: Awaited<ReturnType<typeof startRedis>>;
  readonly postgres: Awaited<ReturnType<typeof startPostgres>>;
}

/** Runs `work` with a program that embeds the gateway, on embedded stores. */
export async function withLibrary<T>(
  runtime: Runtime,
  work: (
    library: Helper<LibraryCommands>,
    server: { readonly port: number; readonly secret: string },
  ) => Promise<T>,
): Promise<T> {
  const dataDir = mkdtempSync(join(tmpdir(), 'lingxi-bench-'));
  const env = gatewayEnvironment({ runtime, stores: 'embedded', env: SELDOM_HEARTBEATS }, dataDir);
  // Node cannot read TypeScript.
  const command =
    runtime === 'bun' ? [BUN, '--no-env-file', LIBRARY] : [process.execPath, '--import', 'tsx', LIBRARY];
  const library = startHelper<LibraryCommands>('the server', [...command, dataDir], {
    cwd: REPOSITORY,
    env,
  });
  try {
    const { port } = await library.call('port');
    return await work(library, { port, secret: env['JWT_SECRET'] ?? '' });
  } catch (error) {
    // The load may notice first that the server is gone.
    await sleep(NOTICE_MS);
    const end = library.end();
    throw end === undefined ? error : new Error(`${end}, during the measurement`, { cause: error });
  } finally {
    await library.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** The resources and the work of a server since its start, by its own count. */
export interface Usage {
  readonly cpuMs: number;
  readonly rssBytes: number;
  /** Heartbeats, or frames of clients if the peer has no heartbeat. */
  readonly received: number;
}

export async function usageOf(gateway: Gateway): Promise<Usage> {
  const metrics = await readMetrics(gateway);
  const read = (name: string): number => {
    const value = metrics(name);
    if (Number.isNaN(value)) throw new Error(`the server reports no ${name}`);
    return value;
  };
  return {
    cpuMs: read('process_cpu_seconds_total') * 1000,
    rssBytes: read('process_resident_memory_bytes'),
    received: read('lingxi_heartbeats_total'),
  };
}

/** CPU time of the gateway's process, user and system, in ms, by its own count. */
export async function cpuMsOf(gateway: Gateway): Promise<number> {
  const { cpuMs } = await usageOf(gateway);
  return cpuMs;
}

async function endOf(gateway: Gateway): Promise<string | undefined> {
  const isAlive = await Promise.race([
    gateway.call('GET', '/healthz').then(
      () => true,
      () => false,
    ),
    sleep(ANSWER_MS).then(() => false),
  ]);
  if (isAlive) return undefined;
  const end = await Promise.race([gateway.exited().catch(() => undefined), sleep(ANSWER_MS)]);
  return end === undefined ? 'it does not answer' : (end.signal ?? `exit code ${end.code ?? '?'}`);
}
