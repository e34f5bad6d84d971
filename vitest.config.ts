import { defineConfig } from 'vitest/config';

// These suites drive the built product as processes of their own.
const build = ['test/support/build-product.ts'];

const SCENARIOS = { globalSetup: build, testTimeout: 120_000, hookTimeout: 120_000 };

/** Of projects that share a group: Vitest wants one number for all of them. */
const WAITING_WORKERS = 3;

/** These measure short times, or keep both cores busy. Another file beside them would change what they measure. */
const CALM_SCENARIOS = [
  'drain',
  'nodes',
  'races-storm',
  'races-ten-seconds',
  'reconnect-storm',
  'stall',
  'ten-seconds',
].map((name) => `test/scenarios/${name}.test.ts`);

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          // A busy machine makes them slow, but none of them measures time.
          testTimeout: 30_000,
          // No test changes what another shares with it. A process for each file would cost three times the tests.
          isolate: false,
        },
      },
      {
        test: {
          name: 'contracts',
          include: ['test/contracts/**/*.test.ts'],
          globalSetup: build,
          testTimeout: 30_000,
          hookTimeout: 120_000,
          // Tests of one file wait side by side for timeouts of their own users.
          maxConcurrency: 20,
          // Most of their time is waiting, so they share two cores well.
          maxWorkers: 4,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'simulation',
          include: ['test/simulation/**/*.test.ts'],
          // Simulated time alone: how long a history takes here proves nothing. `npm test` gives it the lowest priority.
          testTimeout: 900_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          ...SCENARIOS,
          name: 'scenarios',
          include: ['test/scenarios/**/*.test.ts'],
          // Real minutes: vitest.scenarios.config.ts runs them as well.
          exclude: ['test/scenarios/real-time/**', ...CALM_SCENARIOS],
          // They wait most of the time: one uses a quarter of a core to a half.
          maxWorkers: WAITING_WORKERS,
          sequence: { groupOrder: 3 },
        },
      },
      {
        test: {
          name: 'browser',
          include: ['test/browser/**/*.test.ts'],
          globalSetup: [...build, 'test/support/chromium-ready.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          // Each file has a Chromium of its own, and waits half the time.
          maxWorkers: WAITING_WORKERS,
          sequence: { groupOrder: 3 },
        },
      },
      {
        test: {
          ...SCENARIOS,
          name: 'calm-scenarios',
          include: CALM_SCENARIOS,
          fileParallelism: false,
          sequence: { groupOrder: 4 },
        },
      },
    ],
  },
});
