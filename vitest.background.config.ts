import { defineConfig } from 'vitest/config';

/** What takes real minutes in a real Chromium: pages in the background, and the Chromium that the tests fetch. */
export default defineConfig({
  test: {
    name: 'background',
    include: ['test/background/**/*.test.ts'],
    globalSetup: ['test/support/build-product.ts', 'test/support/chromium-ready.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    fileParallelism: false,
  },
});
