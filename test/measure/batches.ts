import { measurePosts } from './posts.ts';
import type { Row } from './rows.ts';
import type { Settings } from './settings.ts';

/** B6: `POST /api/messages` in batches of 100. */
export const measureBatches = ({
  users,
  runtime,
  sendingSeconds: seconds,
}: Settings): Promise<readonly Row[]> =>
  measurePosts({
    ...{ name: 'B6', runtime, users: users(5_000), seconds },
    ...{ batch: 100, connections: 8, goal: 50_000 },
  });
