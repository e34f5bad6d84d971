import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { CACHE, REPOSITORY, withLock } from './cache.ts';

/** Vitest's global setup: the suites run the built product, so it must not be older than its sources. */
export async function setup(): Promise<void> {
  await withLock(join(CACHE, 'lingxi-build.lock'), async () => {
    const build = spawnSync(process.execPath, [join(REPOSITORY, 'scripts/build.mjs'), '--if-needed'], {
      cwd: REPOSITORY,
      encoding: 'utf8',
    });
    if (build.status !== 0) throw new Error(`the build failed: ${build.stdout}${build.stderr}`);
  });
}
