import { createHash } from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { withLock } from './cache.ts';
import { type Child, run, startChild } from './child.ts';
import { Aborted, eventually, freePort } from './ports.ts';
import { findPostgres, type PostgresBinaries } from './postgres-binaries.ts';

export type Row = Record<string, unknown>;

/** A database that a test may fill freely. */
export interface PostgresDatabase {
  readonly url: string;
  /** Runs one statement and returns its rows. `bigint` comes as a string, `timestamptz` as a Date. */
  query(sql: string, params?: readonly unknown[]): Promise<readonly Row[]>;
  /** Runs `work` in a separate transaction, which holds its locks until the end and is rolled back unless it commits. */
  rival(work: (query: PostgresDatabase['query']) => Promise<void>): Promise<void>;
  stop(): Promise<void>;
}

/** A PostgreSQL for one test. */
export interface PostgresServer extends PostgresDatabase {
  readonly port: number;
  /** SIGKILL by default; SIGQUIT is PostgreSQL's immediate and SIGINT its fast shutdown. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Stops all its processes, so that connections hang instead of breaking. */
  freeze(): Promise<void>;
  thaw(): void;
  /** Starts it again on the same port with its data, after a {@link kill} if it still runs. */
  restart(): Promise<void>;
  /** A further empty database on this server. */
  createDatabase(name: string): Promise<PostgresDatabase>;
}

const START_TIMEOUT_MS = 60_000;

const SHARED_MEMORY = '/dev/shm';
/** Enough for some servers. A container may have only 64 MB. */
const LEAST_MEMORY_BYTES = 2_147_483_648;

const UNSYNCED = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'];
const SETTINGS = [
  'max_connections=200',
  'shared_buffers=32MB',
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  // In the data folder, which is removed. Otherwise a killed server would leave a megabyte of memory behind.
  'dynamic_shared_memory_type=mmap',
  // Makes it possible to query the commit time of a row later.
  'track_commit_timestamp=on',
];

export interface PostgresOptions {
  /** Whether a commit waits for the disk, as in production. Default false: tests are faster, and machines do not fail in them. */
  readonly syncs?: boolean;
}

/** Starts a new PostgreSQL on a free port, from an empty data folder. */
export async function startPostgres({ syncs = false }: PostgresOptions = {}): Promise<PostgresServer> {
  const binaries = await findPostgres();
  const dir = mkdtempSync(join(syncs ? tmpdir() : folderInMemory(), 'lingxi-postgres-'));
  if (binaries.user !== undefined) chownSync(dir, binaries.user.uid, binaries.user.gid);
  const data = join(dir, 'data');
  await run('cp', ['-a', await emptyCluster(binaries), data], processOptions(binaries, dir));
  const port = await freePort();
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const how = { dir, data, port, url, settings: syncs ? SETTINGS : [...UNSYNCED, ...SETTINGS] };
  let child = await launch(binaries, how);
  const database = connect(url);
  let frozen: readonly number[] = [];
  const kill = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    child.signal(signal);
    await child.exited;
  };
  return {
    ...database,
    port,
    kill,
    async freeze() {
      frozen = await backends(child.pid);
      for (const pid of frozen) signalIfThere(pid, 'SIGSTOP');
    },
    thaw() {
      for (const pid of frozen) signalIfThere(pid, 'SIGCONT');
      frozen = [];
    },
    async restart() {
      if (child.exit() === undefined) await kill();
      child = await launch(binaries, how);
    },
    createDatabase: (name) => createDatabase(url, name),
    async stop() {
      await database.stop();
      for (const pid of frozen) signalIfThere(pid, 'SIGCONT');
      if (child.exit() === undefined) await kill('SIGQUIT');
      else await removeSharedMemory(data);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/**
 * A killed PostgreSQL leaves a segment of shared memory behind. Only its next start would remove it, and the system has 4,096 of
 * them.
 */
async function removeSharedMemory(data: string): Promise<void> {
  const file = join(data, 'postmaster.pid');
  if (!existsSync(file)) return;
  const [, , , , , , segment = ''] = readFileSync(file, 'utf8').split('\n');
  const [, id] = segment.trim().split(/\s+/);
  if (id !== undefined) await run('ipcrm', ['-m', id]).catch(() => undefined);
}

/**
 * The place where Linux keeps files in memory. A data folder has a thousand files. On ext4, which does not reuse an inode for
 * half a minute, the search for free ones costs up to a second of CPU if many servers come and go.
 */
function folderInMemory(): string {
  try {
    const { bavail, bsize } = statfsSync(SHARED_MEMORY);
    return bavail * bsize > LEAST_MEMORY_BYTES ? SHARED_MEMORY : tmpdir();
  } catch {
    return tmpdir();
  }
}

/** A data folder as made by `initdb`, which takes much longer than a copy. It is made once per version of PostgreSQL. */
async function emptyCluster(binaries: PostgresBinaries): Promise<string> {
  const version = createHash('sha256').update(`${binaries.initdb} ${statSync(binaries.initdb).mtimeMs}`);
  const user = process.getuid?.() ?? 'user';
  const template = join(tmpdir(), `lingxi-test-postgres-empty-${version.digest('hex').slice(0, 12)}-${user}`);
  const data = join(template, 'data');
  if (existsSync(template)) return data;
  return withLock(`${template}.lock`, async () => {
    if (existsSync(template)) return data;
    const dir = mkdtempSync(`${template}.`);
    if (binaries.user !== undefined) chownSync(dir, binaries.user.uid, binaries.user.gid);
    const options = ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'];
    await run(binaries.initdb, ['-D', join(dir, 'data'), ...options], processOptions(binaries, dir));
    renameSync(dir, template);
    return data;
  });
}

/** Creates the empty database `name` on the server of `url`; `stop` drops it again. */
export async function createDatabase(url: string, name: string): Promise<PostgresDatabase> {
  const quoted = `"${name.replaceAll('"', '""')}"`;
  await once(url, `CREATE DATABASE ${quoted}`);
  const own = new URL(url);
  own.pathname = `/${encodeURIComponent(name)}`;
  const database = connect(own.href);
  return {
    ...database,
    async stop() {
      await database.stop();
      await once(url, `DROP DATABASE IF EXISTS ${quoted} WITH (FORCE)`);
    },
  };
}

function connect(url: string): PostgresDatabase {
  const pool = new pg.Pool({ connectionString: url, max: 3, allowExitOnIdle: true });
  // The test kills the server on purpose, so a broken idle connection is expected.
  pool.on('error', () => undefined);
  return {
    url,
    async query(sql, params = []) {
      const result = await pool.query<Row>(sql, [...params]);
      return result.rows;
    },
    rival: (work) => runRival(url, work),
    stop: () => pool.end(),
  };
}

async function runRival(
  url: string,
  work: (query: PostgresDatabase['query']) => Promise<void>,
): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('BEGIN');
    await work(async (sql, params = []) => (await client.query<Row>(sql, [...params])).rows);
  } finally {
    // The server rolls back open transactions.
    await client.end();
  }
}

async function once(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

async function launch(
  binaries: PostgresBinaries,
  options: {
    readonly dir: string;
    readonly data: string;
    readonly port: number;
    readonly url: string;
    readonly settings: readonly string[];
  },
): Promise<Child> {
  const settings = [...options.settings, `port=${options.port}`].flatMap((setting) => ['-c', setting]);
  const child = startChild(
    binaries.postgres,
    ['-D', options.data, ...settings],
    processOptions(binaries, options.dir),
  );
  await eventually(
    async () => {
      if (child.exit() !== undefined) throw new Aborted(`postgres did not start: ${child.output()}`);
      await once(options.url, 'SELECT 1');
    },
    { timeoutMs: START_TIMEOUT_MS },
  );
  return child;
}

function processOptions(binaries: PostgresBinaries, dir: string) {
  return {
    cwd: dir,
    removeOnDeath: dir,
    env: { ...process.env, LC_ALL: 'C', HOME: dir },
    ...binaries.user,
  };
}

/** The postmaster and its children: each runs in a session of its own, so no group signal reaches them. */
async function backends(postmaster: number): Promise<readonly number[]> {
  const children = await run('ps', ['-o', 'pid=', '--ppid', String(postmaster)]).catch(() => '');
  return [postmaster, ...children.split(/\s+/).filter(Boolean).map(Number)];
}

/** A backend whose client has just left may end after it was listed. */
function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
