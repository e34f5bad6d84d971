import { measurePosts } from './posts.ts';
import type { Row } from './rows.ts';
import type { Settings } from './settings.ts';

const GOALS = { bun: 15_000, node: 6_000 };

/** B13: single `POST /api/messages` on keep-alive connections. */
export async function measureSingles(settings: Settings): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const runtime of settings.runtimes)
    rows.push(
      ...(await measurePosts({
        ...{ name: 'B13', runtime, users: settings.users(5_000), seconds: settings.sendingSeconds },
        ...{ batch: 1, connections: 32, goal: GOALS[runtime] },
      })),
    );
  return rows;
}
