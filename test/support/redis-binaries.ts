import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CACHE, findExecutable, withLock } from './cache.ts';
import { run } from './child.ts';

/** The programs of a Redis or Valkey and the environment they need. */
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
  const lib = join(ROOT, 'usr/lib');
  const folders = readdirSync(lib).filter((name) => name.includes('-linux-'));
  const path = folders.map((name) => join(lib, name)).join(':');
  // Debian names redis-server as a link to redis-check-rdb: the program looks at its own name.
  return { server, cli: join(ROOT, 'usr/bin/redis-cli'), env: { ...process.env, LD_LIBRARY_PATH: path } };
}

/** Unpacks Debian's packages below `target`, without root rights; rejects where this is no Debian or nothing comes. */
export function fetchDebianPackages(names: readonly string[], target: string): Promise<void> {
  return fetchDebian(names, { target, withMissing: false });
}

/** The same, with everything that they need and that is not installed here. */
export function fetchDebianPrograms(names: readonly string[], target: string): Promise<void> {
  return fetchDebian(names, { target, withMissing: true });
}

async function fetchDebian(
  names: readonly string[],
  { target, withMissing }: { readonly target: string; readonly withMissing: boolean },
): Promise<void> {
  if (findExecutable('apt-get') === undefined || findExecutable('dpkg-deb') === undefined) {
    throw new Error('this is neither Debian nor Ubuntu');
  }
  process.stderr.write(`Fetching ${names[0]} into node_modules/.cache (once, without root rights).\n`);
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(join(CACHE, 'debian-fetch-'));
  try {
    const state = join(work, 'state');
    const cache = join(work, 'cache');
    const packages = join(work, 'packages');
    const root = join(work, 'root');
    for (const folder of [join(state, 'lists/partial'), join(cache, 'archives/partial'), packages, root]) {
      mkdirSync(folder, { recursive: true });
    }
    const options = ['-q', '-o', `Dir::State=${state}`, '-o', `Dir::Cache=${cache}`];
    // Apt run by root gives its rights away to a user who cannot write into this repository.
    if (process.getuid?.() === 0) options.push('-o', 'APT::Sandbox::User=root');
    // One broken source of many must not stop the tests: what counts is whether the packages come.
    await run('apt-get', [...options, 'update']).catch(() => undefined);
    const flags = ['-o', 'Debug::NoLocking=1', '-y', '--no-install-recommends', '--download-only', 'install'];
    if (withMissing) await run('apt-get', [...options, ...flags, ...names]);
    else await run('apt-get', [...options, 'download', ...names], { cwd: packages });
    const folder = withMissing ? join(cache, 'archives') : packages;
    for (const file of readdirSync(folder).filter((name) => name.endsWith('.deb')))
      await run('dpkg-deb', ['-x', join(folder, file), root]);
    rmSync(target, { recursive: true, force: true });
    mkdirSync(dirname(target), { recursive: true });
    renameSync(root, target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
