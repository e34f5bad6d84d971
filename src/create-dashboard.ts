import type { Config } from './config/config.ts';
import type { ConnectionManager } from './connection/connection-manager.ts';
import type { Messaging } from './create-messaging.ts';
import type { Operations } from './create-operations.ts';
import type { Clock } from './lib/clock.ts';
import type { Log } from './logging/log.ts';
import type { Counters } from './metrics/counters.ts';
import { DashboardData } from './overview/dashboard-data.ts';
import type { PresenceTracker } from './presence/node/tracker.ts';
import { defaultUsername } from './protocol/user-name.ts';

interface DashboardParts {
  readonly config: Pick<Config, 'language'>;
  readonly node: string;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly messaging: Pick<Messaging, 'calls'>;
  readonly operations: Pick<Operations, 'nodes' | 'gauges'>;
  readonly tracker: PresenceTracker;
  readonly manager: ConnectionManager;
  readonly isDraining: () => boolean;
}

/** Joins the sources of the dashboard: counters, nodes, and the users and connections of this node. */
export function createDashboard(parts: DashboardParts): DashboardData {
  const { config, tracker, manager, messaging, operations } = parts;
  return new DashboardData({
    ...parts,
    runtime: 'bun' in process.versions ? `bun ${process.versions['bun']}` : `node ${process.versions.node}`,
    gauges: operations.gauges,
    nodes: () => operations.nodes.list(),
    calls: messaging.calls,
    presenceAvailable: () => tracker.available,
    usersHere: () => tracker.heldUsers,
    own: {
      all: () => tracker.heldHere(),
      count: () => tracker.heldUsers,
      one: (userId) => tracker.userHere(userId),
    },
    defaultName: (userId) => defaultUsername(userId, config.language),
    connections: (userId) => manager.ofUser(userId),
    groups: (userId) => tracker.groupNamesHere(userId),
  });
}
