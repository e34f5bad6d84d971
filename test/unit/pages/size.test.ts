import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { describe, expect, it } from 'vitest';
import { buildPage } from '../../../pages/build-page.ts';

describe('the dashboard', () => {
  it('is at most 60 KB, gzipped, with everything that it loads', async () => {
    const config = buildPage('dashboard', 'dist/dashboard');
    const built = await build({ ...config, configFile: false, build: { ...config.build, write: false } });
    if (Array.isArray(built) || !('output' in built)) throw new Error('the page is built once');
    const sizes = built.output.map(
      (file) => gzipSync(file.type === 'chunk' ? file.code : file.source).length,
    );
    const size = sizes.reduce((sum, part) => sum + part, 0);
    expect(size).toBeGreaterThan(30_000);
    expect(size).toBeLessThanOrEqual(60_000);
  });
});
