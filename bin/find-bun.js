// Finds the binary of Bun, for the launcher and for the scripts of this repository.
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';

/** If npm runs no install scripts, the package `bun` contains a note of a few hundred bytes instead of the binary. */
const SMALLEST_BUN_BYTES = 1_000_000;

/** The binary itself: from its platform package, from the package `bun`, or on PATH. */
export function findBun() {
  return [...packagedBuns(), ...bunsOnPath()].find(isBun);
}

function packagedBuns() {
  const arch = process.arch === 'arm64' ? 'aarch64' : process.arch;
  const libc = process.platform === 'linux' && existsSync('/etc/alpine-release') ? '-musl' : '';
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@oven/bun-${platform}-${arch}${libc}`;
  const exe = process.platform === 'win32' ? 'bun.exe' : 'bun';
  return [
    [name, exe],
    [`${name}-baseline`, exe],
    // Its install script moves the binary here, under this name on every platform.
    ['bun', 'bun.exe'],
  ].flatMap(([packageName, file]) => {
    try {
      const manifest = createRequire(import.meta.url).resolve(`${packageName}/package.json`);
      return [join(dirname(manifest), 'bin', file)];
    } catch {
      return [];
    }
  });
}

function bunsOnPath() {
  const exe = process.platform === 'win32' ? 'bun.exe' : 'bun';
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, exe));
}

function isBun(file) {
  try {
    accessSync(file, constants.X_OK);
    const stats = statSync(file);
    // A version manager's shim on PATH is small, but valid.
    const isPackaged = file.includes('node_modules');
    return stats.isFile() && (!isPackaged || stats.size >= SMALLEST_BUN_BYTES);
  } catch {
    return false;
  }
}
