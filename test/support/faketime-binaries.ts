import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE, withLock } from './cache.ts';
import { fetchDebianPackages } from './debian.ts';

const ROOT = join(CACHE, 'lingxi-faketime');
/** Debian's redis-server allocates by jemalloc, which asks for the time before libfaketime can answer: another allocator does not. */
const ALLOCATORS = ['libtcmalloc-minimal4', 'libtcmalloc-minimal4t64'];

/** A wall clock that a test moves under a running process. Its monotonic clock stays true. */
export interface FakeClock {
  /** What the process must be started with. */
  readonly env: NodeJS.ProcessEnv;
  /** Seconds by which the process is ahead of the true time from now on; negative: behind. */
  set(aheadS: number): void;
  remove(): void;
}

/** A clock kept in `file`. Fetches libfaketime once, without root rights; rejects where that fails. */
export async function createFakeClock(file: string): Promise<FakeClock> {
  const libraries = await findLibraries();
  // Read before each look at the clock: written in place and at one length, it is never seen half.
  const set = (aheadS: number): void => {
    const text = `${aheadS < 0 ? '' : '+'}${aheadS}\n`.padEnd(16);
    writeFileSync(file, text, { flag: existsSync(file) ? 'r+' : 'w' });
  };
  set(0);
  return {
    env: {
      LD_PRELOAD: libraries.join(':'),
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
    set,
    remove: () => rmSync(file, { force: true }),
  };
}

async function findLibraries(): Promise<readonly string[]> {
  const ready = fetched();
  if (ready !== undefined) return ready;
  return withLock(`${ROOT}.lock`, async () => {
    if (fetched() === undefined) await fetchEither(ALLOCATORS);
    const found = fetched();
    if (found === undefined) throw new Error(`the fetched packages lack a library: ${ROOT}`);
    return found;
  });
}

/** The allocator's package has another name from Debian 13 on. */
async function fetchEither([name, ...others]: readonly string[]): Promise<void> {
  if (name === undefined) return;
  await fetchDebianPackages(['libfaketime', name], ROOT).catch((error: unknown) => {
    if (others.length === 0) throw error;
    return fetchEither(others);
  });
}

function fetched(): readonly string[] | undefined {
  const lib = join(ROOT, 'usr/lib');
  if (!existsSync(lib)) return undefined;
  const found = ['libtcmalloc_minimal.so.4', 'faketime/libfaketimeMT.so.1'].map((library) =>
    readdirSync(lib)
      .map((folder) => join(lib, folder, library))
      .find((path) => existsSync(path)),
  );
  return found.every((path) => path !== undefined) ? found : undefined;
}
