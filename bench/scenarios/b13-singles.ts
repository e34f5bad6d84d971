import { joined, type Outcome } from '../report/rows.ts';
import type { Settings } from '../settings.ts';
import { measurePosts } from './posts.ts';

const GOALS = { bun: 15_000, node: 6_000 };

/** B13: single `POST /api/messages` on keep-alive connections. */
export async function measureSingles(settings: Settings): Promise<Outcome> {
  const { users, sendingSeconds: seconds } = settings;
  const outcomes: Outcome[] = [];
  for (const runtime of settings.runtimes)
    outcomes.push(
      await measurePosts({
        ...{ name: 'B13', runtime, users: users(5_000), seconds },
        ...{ batch: 1, connections: 32, goal: GOALS[runtime] },
      }),
    );
  return joined(outcomes);
}
