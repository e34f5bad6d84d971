import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE, REPOSITORY, withLock } from './cache.ts';

/** Vitest's global setup: the suites run the built product, so it must not be older than its sources. */
export async function setup(): Promise<void> {
  await withLock(join(CACHE, 'lingxi-build.lock'), async () => {
    // A stamp of its own: the compiler writes its output even where it found errors.
    const stamp = join(CACHE, 'lingxi-built');
    const isBuilt = existsSync(join(REPOSITORY, 'dist/program/main.js')) && existsSync(stamp);
    const newest = Math.max(
      ...['src', 'pages', 'test/simulation'].map((name) => newestSource(join(REPOSITORY, name))),
    );
    if (isBuilt && statSync(stamp).mtimeMs > newest) return;
    const build = spawnSync(process.execPath, [join(REPOSITORY, 'scripts/build.mjs')], {
      cwd: REPOSITORY,
      encoding: 'utf8',
    });
    if (build.status !== 0) throw new Error(`the build failed: ${build.stdout}${build.stderr}`);
    writeFileSync(stamp, '');
  });
}

function newestSource(folder: string): number {
  const entries = readdirSync(folder, { withFileTypes: true });
  return entries.reduce((newest, entry) => {
    const path = join(folder, entry.name);
    return Math.max(newest, entry.isDirectory() ? newestSource(path) : statSync(path).mtimeMs);
  }, 0);
}
