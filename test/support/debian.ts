import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { CACHE, findExecutable, REPOSITORY, withLock } from './cache.ts';
import { run } from './child.ts';

/** The packages to unpack besides the named ones. */
type Extent =
  /** Nothing. */
  | { readonly kind: 'alone' }
  /** All dependencies that are not installed here. */
  | { readonly kind: 'missing' }
  /** All dependencies, except `assumed` and those that only `assumed` needs. */
  | { readonly kind: 'closure'; readonly assumed: readonly string[] };

interface Fetch {
  readonly target: string;
  readonly extent: Extent;
  /** Rejects if the unpacked packages do not work; then they are removed. */
  readonly verify?: (root: string) => Promise<unknown>;
}

/** A mirror may delay the tests by this time at most. */
const NETWORK_TIMEOUT_S = 20;
/** apt's lists of packages. All fetches of a run share them: to get and to unpack them takes seconds. */
const LISTS = join(CACHE, 'lingxi-apt-lists');
/** After this time a list may name packages that the mirror has replaced. */
const LISTS_LIFE_MS = 3_600_000;
/** Its age is that of the lists. */
const LISTS_STAMP = join(LISTS, 'updated');

/**
 * Unpacks Debian's packages below `target`, without root rights; rejects where this is no Debian or nothing comes. Either
 * all of `target` is there afterwards or nothing. The caller holds a lock on `target`.
 */
export function fetchDebianPackages(names: readonly string[], target: string): Promise<void> {
  return fetchDebian(names, { target, extent: { kind: 'alone' } });
}

/** The same, with everything that they need and that is not installed here. */
export function fetchDebianPrograms(names: readonly string[], target: string): Promise<void> {
  return fetchDebian(names, { target, extent: { kind: 'missing' } });
}

/**
 * The same, with everything that they need, whatever is installed here. So every machine gets the same, and what is
 * removed from it later is not missed. `assumed` must be on each of them.
 */
export function fetchDebianClosure(
  names: readonly string[],
  options: {
    readonly target: string;
    readonly assumed: readonly string[];
    readonly verify: (root: string) => Promise<unknown>;
  },
): Promise<void> {
  const { target, assumed, verify } = options;
  return fetchDebian(names, { target, verify, extent: { kind: 'closure', assumed } });
}

/** The value of `LD_LIBRARY_PATH` for programs that were unpacked below `root`. */
export function libraryPath(root: string): string {
  const folders = ['usr/lib', 'lib']
    .flatMap((folder) => foldersIn(join(root, folder)))
    .filter((folder) => folder.includes('-linux-'));
  // Some libraries have a separate folder, and know only its place in an installed system.
  const own = folders.flatMap((folder) =>
    foldersIn(folder).filter((inner) => readdirSync(inner).some((name) => /^lib.*\.so/.test(name))),
  );
  return [...folders, ...own].join(':');
}

function foldersIn(path: string): readonly string[] {
  if (!existsSync(path)) return [];
  const entries = readdirSync(path, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(path, name));
}

async function fetchDebian(names: readonly string[], { target, extent, verify }: Fetch): Promise<void> {
  if (findExecutable('apt-get') === undefined || findExecutable('dpkg-deb') === undefined) {
    throw new Error('this is neither Debian nor Ubuntu');
  }
  const place = relative(REPOSITORY, CACHE);
  process.stderr.write(`Fetching ${names[0]} into ${place} (once, without root rights).\n`);
  const work = `${target}.part`;
  // A killed run may have left a part.
  rmSync(work, { recursive: true, force: true });
  try {
    const root = join(work, 'root');
    mkdirSync(root, { recursive: true });
    const folder = await download(names, { work, extent });
    for (const file of readdirSync(folder).filter((name) => name.endsWith('.deb')))
      await run('dpkg-deb', ['-x', join(folder, file), root]);
    await verify?.(root);
    rmSync(target, { recursive: true, force: true });
    mkdirSync(dirname(target), { recursive: true });
    renameSync(root, target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Returns the folder with the packages. */
async function download(
  names: readonly string[],
  { work, extent }: { readonly work: string; readonly extent: Extent },
): Promise<string> {
  const state = join(work, 'state');
  const cache = join(work, 'cache');
  const archives = join(cache, 'archives');
  for (const folder of [state, join(LISTS, 'partial'), join(archives, 'partial')])
    mkdirSync(folder, { recursive: true });
  const settings = [
    `Dir::State=${state}`,
    `Dir::State::lists=${LISTS}`,
    `Dir::Cache=${cache}`,
    'Debug::NoLocking=1',
    `Acquire::http::Timeout=${NETWORK_TIMEOUT_S}`,
    `Acquire::https::Timeout=${NETWORK_TIMEOUT_S}`,
    // If root runs apt, apt drops its privileges to a user who cannot write into this repository.
    ...(process.getuid?.() === 0 ? ['APT::Sandbox::User=root'] : []),
  ];
  if (extent.kind === 'closure') {
    const status = join(work, 'status');
    writeFileSync(status, extent.assumed.map(installed).join('\n'));
    settings.push(`Dir::State::status=${status}`);
  }
  const options = ['-q', '-y', ...settings.flatMap((setting) => ['-o', setting])];
  // One broken source among many must not stop the tests. It only matters whether the packages arrive.
  const trouble = await updateLists(options);
  const command =
    extent.kind === 'alone' ? ['download'] : ['--no-install-recommends', '--download-only', 'install'];
  await run('apt-get', [...options, ...command, ...names], { cwd: archives }).catch((error: unknown) => {
    // apt calls an update a success although a list is missing. The next fetch gets them again.
    rmSync(LISTS_STAMP, { force: true });
    throw new Error(textOf(error) + trouble);
  });
  return archives;
}

/** Returns what went wrong, as the end of a sentence. */
function updateLists(options: readonly string[]): Promise<string> {
  return withLock(`${LISTS}.lock`, async () => {
    const updatedAt = statSync(LISTS_STAMP, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (Date.now() - updatedAt < LISTS_LIFE_MS) return '';
    try {
      await run('apt-get', [...options, 'update']);
      writeFileSync(LISTS_STAMP, '');
      return '';
    } catch (error) {
      return `; before it, ${textOf(error)}`;
    }
  });
}

/** A paragraph of dpkg's list of installed packages. */
function installed(name: string): string {
  return `Package: ${name}
Status: install ok installed
Multi-Arch: foreign
Architecture: all
Version: 9999
Maintainer: Nobody <nobody@example.org>
Description: on every machine
`;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
