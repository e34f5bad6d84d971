import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Runtime } from './gateway-process.ts';

/** The effects of signals on a prepared process. The launcher, which ignores both signals, is prepared too. */
export const BLOCK_LOOP = 'SIGUSR2';
export const BREAK_DOWN = 'SIGWINCH';

/** Loaded into the product's process before the product, so that a test can make it fail from within. */
export interface Misbehaviour {
  readonly env: Readonly<Record<string, string>>;
  remove(): void;
}

/**
 * After {@link BLOCK_LOOP} the loop of the process does not turn for `blockMs`. After {@link BREAK_DOWN} it throws without a handler, or
 * allocates memory until the runtime fails.
 */
export function prepareMisbehaviour(options: {
  readonly runtime: Runtime;
  readonly blockMs?: number;
  readonly breakDown?: 'throw' | 'out-of-memory';
}): Misbehaviour {
  const folder = mkdtempSync(join(tmpdir(), 'lingxi-misbehaviour-'));
  const file = join(folder, 'preload.mjs');
  const breakDown =
    options.breakDown === 'out-of-memory'
      ? 'const kept = []; for (;;) kept.push(new Array(4_000_000).fill(kept.length));'
      : "setTimeout(() => { throw new Error('nobody catches this'); }, 0);";
  const isLauncher = options.runtime === 'bun' ? 'process.versions.bun === undefined' : 'false';
  writeFileSync(
    file,
    `const launcher = ${isLauncher};
process.on('${BLOCK_LOOP}', () => {
  // A computation of this length would take a core from the other tests.
  if (!launcher) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${options.blockMs ?? 0});
});
process.on('${BREAK_DOWN}', () => {
  if (launcher) return;
  ${breakDown}
});
`,
  );
  return {
    env: {
      BUN_OPTIONS: `--preload ${file}`,
      NODE_OPTIONS: `--import ${file} --max-old-space-size=100`,
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
