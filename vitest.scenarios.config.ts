import { defineConfig } from 'vitest/config';

/** Every scenario, those that take real minutes included; `npm test` runs the others alone. */
export default defineConfig({
  test: {
    name: 'scenarios',
    include: ['test/scenarios/**/*.test.ts'],
    // They drive the built product as processes of their own.
    globalSetup: ['test/support/build-product.ts', 'test/support/redis-ready.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Timing scenarios run alone: two of them on two cores would measure each other.
    fileParallelism: false,
  },
});
