import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CACHE, findExecutable, withLock } from './cache.ts';
import { startChild } from './child.ts';
import { fetchDebianPrograms, libraryPath } from './debian.ts';
import { freePort, waitForPort } from './ports.ts';

/** A real PgBouncer between a gateway and a PostgreSQL. */
export interface PgBouncer {
  readonly port: number;
  /** The address of the database `name` through PgBouncer. */
  url(name: string, user?: string): string;
  stop(): Promise<void>;
}

export interface PgBouncerOptions {
  /** Port of the PostgreSQL, which trusts every client. */
  readonly postgresPort: number;
  readonly poolMode: 'session' | 'transaction' | 'statement';
  /** The only database that it serves. Default: all. */
  readonly databases?: string;
  /** Further lines of its section `[pgbouncer]`. */
  readonly settings?: readonly string[];
}

interface Binary {
  readonly path: string;
  readonly env: NodeJS.ProcessEnv;
}

const ROOT = join(CACHE, 'lingxi-pgbouncer');
const START_TIMEOUT_MS = 20_000;
/** Debian's `nobody`: PgBouncer refuses to run as root, and drops its privileges to this user. */
const UNPRIVILEGED = 65_534;

/** Starts a PgBouncer on a free port. If none is installed, fetches the program once, without root rights. */
export async function startPgBouncer(options: PgBouncerOptions): Promise<PgBouncer> {
  const binary = await findPgBouncer();
  const folder = mkdtempSync(join(tmpdir(), 'lingxi-pgbouncer-'));
  const port = await freePort();
  const isRoot = process.getuid?.() === 0;
  const users = join(folder, 'users.txt');
  writeFileSync(users, '"postgres" ""\n');
  const config = join(folder, 'pgbouncer.ini');
  writeFileSync(config, configuration({ options, port, users, isRoot }));
  if (isRoot) for (const path of [folder, users, config]) chownSync(path, UNPRIVILEGED, UNPRIVILEGED);
  const child = startChild(binary.path, [config], { cwd: folder, env: binary.env, removeOnDeath: folder });
  const stop = async (): Promise<void> => {
    child.signalGroup('SIGKILL');
    await child.exited;
    rmSync(folder, { recursive: true, force: true });
  };
  await waitForPort(port, START_TIMEOUT_MS, () =>
    child.exit() === undefined ? undefined : `PgBouncer did not start: ${child.output()}`,
  ).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return { port, url: (name, user = 'postgres') => `postgres://${user}@127.0.0.1:${port}/${name}`, stop };
}

function configuration(given: {
  readonly options: PgBouncerOptions;
  readonly port: number;
  readonly users: string;
  readonly isRoot: boolean;
}): string {
  const { options, port, users, isRoot } = given;
  return [
    '[databases]',
    `${options.databases ?? '*'} = host=127.0.0.1 port=${options.postgresPort}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = trust',
    `auth_file = ${users}`,
    `pool_mode = ${options.poolMode}`,
    ...(isRoot ? ['user = nobody'] : []),
    ...(options.settings ?? []),
    '',
  ].join('\n');
}

export async function findPgBouncer(): Promise<Binary> {
  const installed = findExecutable('pgbouncer', ['/usr/sbin']);
  if (installed !== undefined) return { path: installed, env: process.env };
  return withLock(`${ROOT}.lock`, async () => {
    if (!existsSync(join(ROOT, 'usr/sbin/pgbouncer')))
      await fetchDebianPrograms(['pgbouncer'], ROOT).catch((error: unknown) => {
        throw new Error(
          'The tests need PgBouncer: install it with "sudo apt-get install pgbouncer". Fetching it failed: ' +
            (error instanceof Error ? error.message : String(error)),
        );
      });
    return fetched();
  });
}

function fetched(): Binary {
  return {
    path: join(ROOT, 'usr/sbin/pgbouncer'),
    env: { ...process.env, LD_LIBRARY_PATH: libraryPath(ROOT) },
  };
}
