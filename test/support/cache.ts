import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sleep } from './ports.ts';

export const REPOSITORY = repository(fileURLToPath(new URL('../../', import.meta.url)));

/** The folder where test tools are kept between runs. */
export const CACHE = join(REPOSITORY, 'node_modules', '.cache');

/** Longest wait for another process that prepares the same thing. */
const LOCK_TIMEOUT_MS = 180_000;

/** The full path of `name` on PATH or in one of the `more` folders. */
export function findExecutable(name: string, more: readonly string[] = []): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...more];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** Runs `work` while no other process does the same under `lock`: test files start at the same time. */
export async function withLock<T>(
  lock: string,
  work: () => Promise<T>,
  timeoutMs = LOCK_TIMEOUT_MS,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  while (!acquire(lock)) {
    if (performance.now() > deadline)
      throw new Error(`another process holds ${lock}; remove it if none runs`);
    await sleep(100);
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

/** The compiled file may run from a deeper folder of the repository. */
function repository(folder: string): string {
  return existsSync(join(folder, 'bin', 'lingxi.js')) ? folder : repository(join(folder, '..', '/'));
}

function acquire(lock: string): boolean {
  mkdirSync(join(lock, '..'), { recursive: true });
  const owner = join(lock, 'pid');
  try {
    mkdirSync(lock);
    writeFileSync(owner, String(process.pid));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  if (existsSync(owner) && !isAlive(readFileSync(owner, 'utf8'))) {
    rmSync(lock, { recursive: true, force: true });
  }
  return false;
}

function isAlive(text: string): boolean {
  const pid = Number(text);
  // If a lock file is empty, its owner is just about to write its id.
  if (!Number.isInteger(pid) || pid <= 0) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
