import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { REPOSITORY } from './cache.ts';
import { type Child, startChild } from './child.ts';
import type { Runtime } from './gateway-process.ts';

/** A folder of a program with Lingxi installed, as a user has it. */
export interface ProgramFolder {
  readonly path: string;
  /** Writes `text` as a module and runs it on `runtime`. */
  start(runtime: Runtime, text: string, env?: Readonly<Record<string, string>>): Child;
  remove(): void;
}

export function createProgramFolder(): ProgramFolder {
  const path = mkdtempSync(join(tmpdir(), 'lingxi-program-'));
  const modules = join(path, 'node_modules');
  mkdirSync(modules);
  symlinkSync(REPOSITORY, join(modules, 'lingxi'));
  symlinkSync(join(REPOSITORY, 'node_modules/ws'), join(modules, 'ws'));
  let programs = 0;
  return {
    path,
    start(runtime, text, env = {}) {
      programs += 1;
      const file = join(path, `program-${programs}.mjs`);
      writeFileSync(file, text);
      const { PATH = '' } = process.env;
      return startChild(runtime === 'bun' ? bunBinary() : process.execPath, [file], {
        cwd: path,
        env: { PATH, ...env },
      });
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** The Bun of the development dependencies: the binary of its platform package, or the one from its install script. */
function bunBinary(): string {
  const require = createRequire(import.meta.url);
  const arch = process.arch === 'arm64' ? 'aarch64' : process.arch;
  const candidates = [
    ['bun', 'bun.exe'],
    [`@oven/bun-${process.platform}-${arch}`, 'bun'],
  ].flatMap(([name, file]) => {
    try {
      return [join(dirname(require.resolve(`${name}/package.json`)), 'bin', file ?? '')];
    } catch {
      return [];
    }
  });
  // Without install scripts, the first file is a note instead of the binary.
  const binary = candidates.reverse().find((candidate) => existsSync(candidate));
  if (binary === undefined) throw new Error('Bun is not installed: run "npm ci"');
  return binary;
}
