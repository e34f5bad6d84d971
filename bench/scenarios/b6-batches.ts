import { joined, type Outcome } from '../report/rows.ts';
import type { Settings } from '../settings.ts';
import { measurePosts } from './posts.ts';

/** B6: `POST /api/messages` in batches of 100. */
export async function measureBatches(settings: Settings): Promise<Outcome> {
  const { users, sendingSeconds: seconds } = settings;
  const outcomes: Outcome[] = [];
  for (const runtime of settings.runtimes)
    outcomes.push(
      await measurePosts({
        ...{ name: 'B6', runtime, users: users(5_000), seconds },
        ...{ batch: 100, connections: 8, goal: 50_000 },
      }),
    );
  return joined(outcomes);
}
