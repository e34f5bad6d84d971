import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE, withLock } from './cache.ts';
import { fetchDebianPackages } from './debian.ts';

const ROOT = join(CACHE, 'lingxi-faketime');
/** Debian's redis-server uses jemalloc, which reads the time before libfaketime is ready. So another allocator replaces it. */
const ALLOCATORS = ['libtcmalloc-minimal4', 'libtcmalloc-minimal4t64'];

/** A wall clock that a test moves under a running process. Its monotonic clock stays true. */
export interface FakeClock {
  /** The environment for the process. */
  readonly env: NodeJS.ProcessEnv;
  /** From now on, the clock of the process is ahead of the true time by this many seconds; negative: behind. */
  set(aheadS: number): void;
  /** The processes have ended. */
  remove(): void;
}

const SHARED_MEMORY = '/dev/shm';

/** Removes the shared memory that libfaketime leaves behind for killed processes. */
function removeLeftClocks(): void {
  if (!existsSync(SHARED_MEMORY)) return;
  for (const name of readdirSync(SHARED_MEMORY)) {
    const pid = /^(?:sem\.)?faketime_(?:shm|sem)_(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(join(SHARED_MEMORY, name), { force: true });
  }
}

/** A clock stored in `file`. Fetches libfaketime once, without root rights; rejects if that fails. */
export async function createFakeClock(file: string): Promise<FakeClock> {
  const libraries = await findFakeTime();
  // The file is read at each call for the time. It is overwritten in place with the same length, so no reader sees half of it.
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
    remove() {
      rmSync(file, { force: true });
      removeLeftClocks();
    },
  };
}

export async function findFakeTime(): Promise<readonly string[]> {
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
