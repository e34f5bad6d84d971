import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// These suites run the built product and Redis as processes of their own.
const prepared = ['test/support/build-product.ts', 'test/support/redis-ready.ts'];

/**
 * No file changes what another shares with it: its servers, stores and users are its own. A process for each file would cost
 * 40 s of a core in all, most of it for the same modules again.
 */
const SHARED_PROCESSES = { isolate: false, setupFiles: ['test/support/new-file.ts'] };

const SCENARIOS = { globalSetup: prepared, testTimeout: 120_000, hookTimeout: 120_000 };

/**
 * Number of files side by side that wait most of the time. Their own suites run side by side too, so each uses about half a core
 * while it does not wait. So a test must not need a free core: each limit that is no rule leaves seconds for a process that stands
 * still. The simulation beside them counts for nothing: see scripts/test.mjs.
 */
const WAITING_WORKERS = 4;

/**
 * Searches, not proofs. Random histories differ in part each time, and mutants show what the tests notice. Both cores need two
 * minutes for them.
 */
const SEARCHES = ['random-histories', 'script-mutants', 'mutants'].map((name) =>
  existing(`test/simulation/${name}.test.ts`),
);

/** These keep both cores busy, or measure how long that takes. Another file beside them would change what they measure. */
const CALM_SCENARIOS = scenarios('nodes', 'races-storm', 'reconnect-storm');

/** These measure short times, and do nothing before but wait for ten seconds: they may wait together. */
const QUIET_SCENARIOS = scenarios('drain-pace', 'races-ten-seconds', 'stall', 'ten-seconds');

/**
 * Twenty seconds and more, about the longest first: one that began as the last would run alone. Those that keep a core busy
 * stand between those that wait.
 */
const LONGEST = [
  'simulation/real-scripts',
  'simulation/script-mutants',
  'simulation/simulate',
  'scenarios/nodes-stopped',
  'contracts/bench',
  'browser/dashboard',
  'scenarios/restart',
  'browser/simulator',
  'contracts/demo-game',
  'contracts/push-stream-flood',
  'contracts/revocations',
  'browser/demo',
  'contracts/commands',
  'contracts/redis-sentinel',
  'browser/dashboard-troubles',
  'contracts/push-queues',
  'contracts/hostile-http',
  'contracts/redis-cluster',
  'contracts/operations',
  'scenarios/proxies',
  'scenarios/drain',
  'contracts/fuzz',
  'contracts/client',
  'contracts/presence-stores',
  'contracts/direct-pushes',
  'scenarios/redis',
  'browser/docs-page',
  'contracts/push-stream',
  'contracts/tickets',
  'scenarios/postgres-lost',
  'contracts/inbound',
  'browser/client',
  'contracts/nodes',
  'contracts/bad-input',
  'scenarios/races-policies',
].map((name) => existing(`test/${name}.test.ts`));

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const groupOf = ({ project }: TestSpecification): number => project.config.sequence.groupOrder;
    const placeOf = ({ moduleId }: TestSpecification): number => {
      const place = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}`));
      return place < 0 ? LONGEST.length : place;
    };
    const sorted = await super.sort(files);
    // A process goes on with the next file only if that is of the same project.
    const projectOf = ({ project }: TestSpecification): string => project.name;
    return sorted.sort(
      (a, b) =>
        groupOf(a) - groupOf(b) || placeOf(a) - placeOf(b) || projectOf(a).localeCompare(projectOf(b), 'en'),
    );
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
          hookTimeout: 120_000,
          // No test changes what another shares with it. A process for each file would cost three times the tests.
          isolate: false,
          // Nothing else runs yet. By default one core would stay free.
          maxWorkers: '100%',
        },
      },
      {
        test: {
          name: 'simulation',
          include: ['test/simulation/**/*.test.ts'],
          exclude: SEARCHES,
          // Simulated time alone: how long a history takes here proves nothing. `npm test` gives it the lowest priority.
          testTimeout: 900_000,
          hookTimeout: 900_000,
          // The files change nothing that they share, and a process for each would load the same modules again.
          isolate: false,
          // At its low priority it leaves the cores to the other suites.
          maxWorkers: '100%',
          globalSetup: ['test/support/redis-ready.ts'],
          sequence: { groupOrder: 1 },
        },
      },
      // Contracts, scenarios and pages share a group, so that none of them waits for the last file of another.
      {
        test: {
          ...SHARED_PROCESSES,
          name: 'contracts',
          include: ['test/contracts/**/*.test.ts'],
          globalSetup: prepared,
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
          ...SHARED_PROCESSES,
          name: 'scenarios',
          // Each test has servers of its own, and waits for them most of the time.
          maxConcurrency: 6,
          include: ['test/scenarios/**/*.test.ts'],
          // Real minutes: vitest.scenarios.config.ts runs them as well.
          exclude: ['test/scenarios/real-time/**', ...CALM_SCENARIOS, ...QUIET_SCENARIOS],
          maxWorkers: WAITING_WORKERS,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          ...SHARED_PROCESSES,
          name: 'browser',
          include: ['test/browser/**/*.test.ts'],
          // Each file has a Chromium of its own.
          globalSetup: [...prepared, 'test/support/chromium-ready.ts'],
          // Windows of one file are played side by side: on a busy machine the first pages take long to load.
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: WAITING_WORKERS,
          sequence: { groupOrder: 2 },
        },
      },
      // From here on: `npm run test:rest`.
      {
        test: {
          ...SCENARIOS,
          ...SHARED_PROCESSES,
          name: 'tools',
          include: ['test/tools/**/*.test.ts'],
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: 'searches',
          include: SEARCHES,
          globalSetup: ['test/support/redis-ready.ts'],
          testTimeout: 900_000,
          hookTimeout: 900_000,
          isolate: false,
          maxWorkers: '100%',
          sequence: { groupOrder: 5 },
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
          ...SHARED_PROCESSES,
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
