import { afterAll, beforeAll } from 'vitest';
import { type COMBINATIONS, type Deployment, deploy } from './stores.ts';

type Combination = (typeof COMBINATIONS)[number];

/**
 * Starts a deployment of each of these before the first test of a file, all at once, and stops them after the last test. So the
 * suites of the file can run at the same time, and no start disturbs a test that measures time.
 */
export function deployEach(
  combinations: readonly Combination[],
  env: Readonly<Record<string, string>> = {},
): (wanted: Combination) => Deployment {
  const started = new Map<string, Deployment>();
  const nameOf = ({ runtime, kind }: Combination): string => `${runtime} over ${kind}`;
  beforeAll(async () => {
    const starts = await Promise.allSettled(
      combinations.map(async ({ runtime, kind }) =>
        started.set(nameOf({ runtime, kind }), await deploy({ runtime, kind, env })),
      ),
    );
    for (const start of starts) if (start.status === 'rejected') throw start.reason;
  });
  afterAll(() => Promise.all([...started.values()].map((deployment) => deployment.stop())));
  return (wanted) => {
    const deployment = started.get(nameOf(wanted));
    if (deployment === undefined) throw new Error(`no deployment of ${nameOf(wanted)}`);
    return deployment;
  };
}
