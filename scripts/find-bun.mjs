import { statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** Without install scripts the npm package `bun` holds a note of a few hundred bytes in place of the binary. */
const SMALLEST_BUN_BYTES = 1_000_000;

/** The packages of npm, as bin/lingxi.js finds them. */
export function findBun() {
  const require = createRequire(import.meta.url);
  const names = [`@oven/bun-${process.platform}-${process.arch === 'arm64' ? 'aarch64' : 'x64'}`, 'bun'];
  for (const name of names) {
    try {
      const file = join(
        dirname(require.resolve(`${name}/package.json`)),
        'bin',
        name === 'bun' ? 'bun.exe' : 'bun',
      );
      if (statSync(file).size >= SMALLEST_BUN_BYTES) return file;
    } catch {
      // Not installed, or without its binary.
    }
  }
  return undefined;
}
