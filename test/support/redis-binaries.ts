import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE, findExecutable, withLock } from './cache.ts';
import { fetchDebianPackages, libraryPath } from './debian.ts';

/** The programs of a Redis or Valkey and their environment. */
export interface RedisBinaries {
  readonly server: string;
  readonly cli: string;
  readonly env: NodeJS.ProcessEnv;
}

const PACKAGES = [
  'redis-server',
  'redis-tools',
  'libjemalloc2',
  'liblua5.1-0',
  'liblzf1',
  'libatomic1',
  'lua-bitop',
  'lua-cjson',
];

const ROOT = join(CACHE, 'lingxi-redis');

/** Programs on PATH, else Debian's, fetched once without root rights. Rejects with the command that installs them. */
export async function findRedis(): Promise<RedisBinaries> {
  const installed = onPath('valkey') ?? onPath('redis') ?? fetched();
  if (installed !== undefined) return installed;
  return withLock(`${ROOT}.lock`, async () => {
    const ready = fetched();
    if (ready !== undefined) return ready;
    await fetchDebianPackages(PACKAGES, ROOT).catch((error: unknown) => {
      throw new Error(
        'The tests need Redis 6.2 or later: install it with "sudo apt-get install redis-server" (or brew install ' +
          `redis), or set REDIS_URL. Fetching it failed: ${error instanceof Error ? error.message : String(error)}`,
      );
    });
    const found = fetched();
    if (found === undefined) throw new Error(`the fetched packages hold no redis-server: ${ROOT}`);
    return found;
  });
}

function onPath(name: 'valkey' | 'redis'): RedisBinaries | undefined {
  const server = findExecutable(`${name}-server`);
  const cli = findExecutable(`${name}-cli`);
  return server === undefined || cli === undefined ? undefined : { server, cli, env: process.env };
}

function fetched(): RedisBinaries | undefined {
  const server = join(ROOT, 'usr/bin/redis-server');
  if (!existsSync(server)) return undefined;
  const env = { ...process.env, LD_LIBRARY_PATH: libraryPath(ROOT) };
  // In Debian, redis-server is a link to redis-check-rdb: the program checks its own name.
  return { server, cli: join(ROOT, 'usr/bin/redis-cli'), env };
}
