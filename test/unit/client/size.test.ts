import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';

const SOURCES = fileURLToPath(new URL('../../../src/client/', import.meta.url));

/** Bytes of an entry as a page loads it: bundled, minified, gzipped. */
async function sizeOf(entry: string): Promise<number> {
  const { outputFiles } = await build({
    entryPoints: [SOURCES + entry],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    external: ['vue', 'react'],
    write: false,
  });
  return gzipSync(outputFiles[0]?.contents ?? '', { level: 9 }).length;
}

describe('the size of the client', () => {
  it.each([
    ['index.ts', 5_000],
    // This includes the client.
    ['shared.ts', 5_000],
    ['seed.ts', 3_000],
  ])('of %s is at most %i bytes', async (entry, most) => {
    const size = await sizeOf(entry);
    expect(size).toBeGreaterThan(1_000);
    expect(size).toBeLessThanOrEqual(most);
  });

  it.each(['vue.ts', 'react.ts'])('of %s adds less than 500 bytes', async (entry) => {
    const own = (await sizeOf(entry)) - (entry === 'vue.ts' ? await sizeOf('index.ts') : 0);
    expect(own).toBeLessThan(500);
  });
});
