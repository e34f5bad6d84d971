import type { Outcome } from '../report/rows.ts';
import type { Settings } from '../settings.ts';
import { measureHold } from './b1-hold.ts';
import { measureRedisCommands } from './b1r-commands.ts';
import { measureLogins } from './b3-logins.ts';
import { measureToUsers } from './b4-to-users.ts';
import { measureBroadcast } from './b5-broadcast.ts';
import { measureBatches } from './b6-batches.ts';
import { measureDetection } from './b7-detection.ts';
import { measureTimeouts } from './b8-timeouts.ts';
import { measureNodes } from './b9-nodes.ts';
import { measureDeadNode } from './b10-dead-node.ts';
import { measureScripts } from './b11-scripts.ts';
import { measureRollingDeploy } from './b12-rolling-deploy.ts';
import { measureSingles } from './b13-singles.ts';
import { measureAfterLoss } from './b14-after-loss.ts';
import { measureDashboard } from './b15-dashboard.ts';

export interface Scenario {
  /** The measurements of the scenario. Each of these names in `--only` runs it. */
  readonly names: readonly string[];
  readonly title: string;
  readonly run: (settings: Settings) => Promise<Outcome>;
}

/** In the order in which they run. */
export const SCENARIOS: readonly Scenario[] = [
  { names: ['B1', 'B2'], title: 'connections that are held, and their memory', run: measureHold },
  { names: ['B1r'], title: 'commands to Redis for heartbeats', run: measureRedisCommands },
  { names: ['B3'], title: 'a storm of logins', run: measureLogins },
  { names: ['B4'], title: 'messages to random users', run: measureToUsers },
  { names: ['B5'], title: 'broadcasts', run: measureBroadcast },
  { names: ['B6'], title: 'messages by HTTP in batches', run: measureBatches },
  { names: ['B7'], title: 'detection of silent users', run: measureDetection },
  { names: ['B8'], title: 'everybody times out at once', run: measureTimeouts },
  { names: ['B9'], title: 'messages from node to node', run: measureNodes },
  { names: ['B10'], title: 'kill -9 of a node', run: measureDeadNode },
  { names: ['B11'], title: 'users held in Redis by scripts alone', run: measureScripts },
  { names: ['B12'], title: 'a rolling deploy', run: measureRollingDeploy },
  { names: ['B13'], title: 'single messages by HTTP', run: measureSingles },
  { names: ['B14'], title: 'logins after kill -9 and FLUSHALL', run: measureAfterLoss },
  { names: ['B15'], title: 'an open dashboard', run: measureDashboard },
];

export const NAMES: readonly string[] = SCENARIOS.flatMap(({ names }) => names);
