import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// These suites drive the built product as processes of their own.
const build = ['test/support/build-product.ts'];

const SCENARIOS = { globalSetup: build, testTimeout: 120_000, hookTimeout: 120_000 };

/**
 * Of the files that wait most of the time: each uses a quarter of a core to a half. More would leave no free core to a test
 * that needs one for a moment. The simulation beside them counts for nothing: see scripts/test.mjs.
 */
const WAITING_WORKERS = 4;

/** These keep both cores busy, or measure how long that takes. Another file beside them would change what they measure. */
const CALM_SCENARIOS = scenarios('drain', 'nodes', 'races-storm', 'reconnect-storm');

/** These measure short times, and do nothing before but wait for ten seconds: they may wait together. */
const QUIET_SCENARIOS = scenarios('races-ten-seconds', 'stall', 'ten-seconds');

/**
 * Half a minute and more, about the longest first: one that began as the last would run alone. Those that keep a core busy
 * stand between those that wait.
 */
const LONGEST = [
  'contracts/push-stream',
  'contracts/demo-game',
  'contracts/revocations',
  'contracts/bad-input',
  'contracts/client',
  'contracts/bench',
  'scenarios/restart',
  'contracts/seed-profile',
  'browser/dashboard',
  'contracts/credentials',
  'contracts/inbound',
  'browser/demo',
  'contracts/data-folder',
  'scenarios/nodes-stopped',
  'contracts/groups-nodes',
  'browser/dashboard-troubles',
  'contracts/descriptors',
  'browser/simulator',
  'scenarios/redis',
  'contracts/dashboard-data',
  'contracts/tickets',
  'browser/client',
  'contracts/presence-store-redis',
  'contracts/redis-cluster',
  'contracts/hostile-frames',
  'contracts/commands',
  'scenarios/postgres-lost',
  'contracts/redis-sentinel',
  'scenarios/proxies',
  'browser/docs-page',
  'scenarios/drain-troubles',
  'contracts/http-behind-proxies',
  'browser/refusals',
  'scenarios/races-policies',
  'contracts/direct-pushes',
  'scenarios/postgres',
].map((name) => existing(`test/${name}.test.ts`));

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const groupOf = ({ project }: TestSpecification): number => project.config.sequence.groupOrder;
    const placeOf = ({ moduleId }: TestSpecification): number => {
      const place = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}`));
      return place < 0 ? LONGEST.length : place;
    };
    const sorted = await super.sort(files);
    return sorted.sort((a, b) => groupOf(a) - groupOf(b) || placeOf(a) - placeOf(b));
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
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
          name: 'simulation',
          include: ['test/simulation/**/*.test.ts'],
          // Simulated time alone: how long a history takes here proves nothing. `npm test` gives it the lowest priority.
          testTimeout: 900_000,
          sequence: { groupOrder: 1 },
        },
      },
      // Contracts, scenarios and pages share a group, so that none of them waits for the last file of another.
      {
        test: {
          name: 'contracts',
          include: ['test/contracts/**/*.test.ts'],
          globalSetup: build,
          testTimeout: 30_000,
          hookTimeout: 120_000,
          // Tests of one file wait side by side for timeouts of their own users.
          maxConcurrency: 20,
          maxWorkers: WAITING_WORKERS,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          ...SCENARIOS,
          name: 'scenarios',
          include: ['test/scenarios/**/*.test.ts'],
          // Real minutes: vitest.scenarios.config.ts runs them as well.
          exclude: ['test/scenarios/real-time/**', ...CALM_SCENARIOS, ...QUIET_SCENARIOS],
          maxWorkers: WAITING_WORKERS,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: 'browser',
          include: ['test/browser/**/*.test.ts'],
          // Each file has a Chromium of its own.
          globalSetup: [...build, 'test/support/chromium-ready.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          maxWorkers: WAITING_WORKERS,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          ...SCENARIOS,
          name: 'quiet-scenarios',
          include: QUIET_SCENARIOS,
          maxWorkers: QUIET_SCENARIOS.length,
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

function scenarios(...names: readonly string[]): string[] {
  return names.map((name) => existing(`test/scenarios/${name}.test.ts`));
}

/** A file that was renamed would lose its place here without a word. */
function existing(path: string): string {
  if (existsSync(fileURLToPath(new URL(path, import.meta.url)))) return path;
  throw new Error(`vitest.config.ts names ${path}, which does not exist`);
}
