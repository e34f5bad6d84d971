import { defineConfig } from 'vitest/config';

/** Pages in a real Chromium, which is found or fetched. `npm test` needs no browser. */
export default defineConfig({
  test: {
    name: 'browser',
    include: ['test/browser/**/*.test.ts'],
    globalSetup: ['test/support/build-product.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // One Chromium has enough to do, and what it measures in time needs the machine for itself.
    maxWorkers: 1,
  },
});
