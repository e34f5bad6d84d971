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

/**
 * Unpacks Debian's packages below `target`, without root rights; rejects where this is no Debian or nothing comes. With
 * libraries, the ones that the packages name themselves come too: their names differ between releases.
 */
export async function fetchDebianPackages(
  names: readonly string[],
  target: string,
  libraries: 'alone' | 'with libraries' = 'alone',
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
    await run('apt-get', [...options, 'download', ...names], { cwd: packages });
    if (libraries === 'with libraries') {
      const more = await librariesOf(readdirSync(packages).map((file) => join(packages, file)));
      await run('apt-get', [...options, 'download', ...more], { cwd: packages });
    }
    for (const file of readdirSync(packages)) await run('dpkg-deb', ['-x', join(packages, file), root]);
    rmSync(target, { recursive: true, force: true });
    mkdirSync(dirname(target), { recursive: true });
    renameSync(root, target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The libraries that the packages name, but for the C library, which every system has. */
async function librariesOf(files: readonly string[]): Promise<readonly string[]> {
  const fields = await Promise.all(files.map((file) => run('dpkg-deb', ['-f', file, 'Depends'])));
  const names = fields
    .flatMap((field) => field.split(/[,|]/))
    .map((entry) => entry.trim().split(/[ :(]/)[0] ?? '');
  return [...new Set(names)].filter((name) => name.startsWith('lib') && name !== 'libc6');
}
