import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { REPOSITORY } from '../support/cache.ts';
import {
  type Gateway,
  gatewayEnvironment,
  type Runtime,
  type Stores,
  startGateway,
} from '../support/gateway-process.ts';
import { readMetrics } from '../support/metrics.ts';
import { sleep } from '../support/ports.ts';
import { startPostgres, startRedis } from '../support/services.ts';
import { createUsers } from '../support/stores.ts';
import { type Helper, startHelper } from './commands.ts';
import type { LibraryCommands } from './library.ts';
import type { LoadCommands } from './load.ts';

export type Load = Helper<LoadCommands>;

/** Heartbeats so seldom that only messages cost something. Presence, credentials and metrics work as always. */
export const SELDOM_HEARTBEATS = {
  LINGXI_HEARTBEAT_TIMEOUT_MS: '600000',
  LINGXI_HTTP_TIMEOUT_MS: '600000',
  LINGXI_PING_INTERVAL_MS: '180000',
  LINGXI_READ_TIMEOUT_MS: '3600000',
};

/** A server that is alive answers within it. */
const ANSWER_MS = 3_000;
/** The end of a process is known within it. */
const NOTICE_MS = 200;

const LOAD = fileURLToPath(new URL('load.ts', import.meta.url));
const LIBRARY = fileURLToPath(new URL('library.ts', import.meta.url));
/** This program runs on Bun; `execPath` names the Node that starts the servers. */
const BUN = process.argv[0] ?? 'bun';

/** Runs `work` beside a load process, which ends with it. */
export async function withLoad<T>(work: (load: Load) => Promise<T>): Promise<T> {
  const load = startHelper<LoadCommands>('the load process', [BUN, '--no-env-file', LOAD]);
  try {
    return await work(load);
  } finally {
    await load.stop();
  }
}

/** Runs `work` with a gateway of its own. If it fails because the gateway ended, the error says so. */
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

/** Runs `work` with a Redis and a PostgreSQL that knows the users. */
export async function withStores<T>(
  work: (stores: Exclude<Stores, 'embedded'>, servers: Servers) => Promise<T>,
): Promise<T> {
  const redis = await startRedis();
  try {
    const postgres = await startPostgres();
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
  const dataDir = mkdtempSync(join(tmpdir(), 'lingxi-measure-'));
  const env = gatewayEnvironment({ runtime, stores: 'embedded', env: SELDOM_HEARTBEATS }, dataDir);
  // Node reads no TypeScript by itself.
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
    // The load may notice first that it is gone.
    await sleep(NOTICE_MS);
    const end = library.end();
    throw end === undefined ? error : new Error(`${end}, during the measurement`, { cause: error });
  } finally {
    await library.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** CPU time that the gateway's process has used, user and system, in ms: its own count. */
export async function cpuMsOf(gateway: Gateway): Promise<number> {
  const seconds = (await readMetrics(gateway))('process_cpu_seconds_total');
  if (Number.isNaN(seconds)) throw new Error('the server reports no process_cpu_seconds_total');
  return seconds * 1000;
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
