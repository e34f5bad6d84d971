import type { NodeDirectory, NodeState } from './cluster/node-directory.ts';
import { Nodes } from './cluster/nodes.ts';
import type { PushRouter } from './cluster/push-router.ts';
import type { ConnectionManager } from './connection/connection-manager.ts';
import type { Messaging } from './create-messaging.ts';
import type { OpenedPresenceStore } from './create-presence.ts';
import type { Clock } from './lib/clock.ts';
import { inBackground } from './logging/internal-error.ts';
import type { Log } from './logging/log.ts';
import type { Gauges } from './metrics/counters.ts';
import type { PresenceTracker } from './presence/node/tracker.ts';
import type { Settler } from './settlement/settler.ts';

/** The operator's view of this node, and its external inputs: pushes and drains. */
export interface Operations {
  readonly nodes: Nodes;
  readonly gauges: Gauges;
  /** Waits for nothing, because a deployment works without these parts. */
  start(): void;
  stop(): void;
}

interface OperationsParts {
  readonly node: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly messaging: Pick<Messaging, 'calls' | 'stream'>;
  readonly opened: OpenedPresenceStore;
  /** Delivers pushes that every node receives. One of the nodes answers for users without a connection. */
  readonly pushHere: PushRouter['pushHere'];
  readonly tracker: PresenceTracker;
  readonly manager: ConnectionManager;
  readonly settler: Settler;
  /** Logins that wait because this node is busy with others. */
  readonly loginsWaiting: () => number;
  readonly settlementAvailable: () => boolean;
  readonly isDraining: () => boolean;
  readonly drain: (draining: boolean, by: string) => void;
}

export function createOperations(parts: OperationsParts): Operations {
  const { node, clock, log, opened, pushHere, tracker, manager, isDraining } = parts;
  const { peers } = opened;
  const directory = peers?.directory ?? directoryOfOne(node, () => tracker.heldUsers);
  const state = (): NodeState => ({ connections: manager.connectionCount, draining: isDraining() });
  const nodes = new Nodes({
    node,
    directory,
    calls: parts.messaging.calls,
    state,
    drain: parts.drain,
    clock,
    log,
  });
  let isStopped = false;
  const deaf = (error: unknown): void => {
    // When the node stops, it ends calls that still wait for Redis.
    if (!isStopped)
      log.error({ event: 'internal-error', error }, 'this node cannot listen to the push channel');
  };
  return {
    nodes,
    gauges: gaugesOf(parts),
    start() {
      nodes.start();
      const heard = opened.listen?.((request, since) =>
        inBackground(log, pushHere(request, nodes.isFirst, since)),
      );
      heard?.catch(deaf);
    },
    stop() {
      isStopped = true;
      nodes.stop();
    },
  };
}

/** With embedded stores there is one node. If it can answer, it is alive. */
function directoryOfOne(node: string, users: () => number): NodeDirectory {
  return {
    announce: () => Promise.resolve(),
    list: () => Promise.resolve([{ node, silentMs: 0, sign: undefined, users: users() }]),
  };
}

function gaugesOf(parts: OperationsParts): Gauges {
  const { tracker, manager, messaging, settler, settlementAvailable, loginsWaiting } = parts;
  return {
    usersOnline: () => tracker.onlineCount(),
    usersLingering: () => tracker.lingeringUsers,
    connections: () => manager.connectionCount,
    loginsWaiting,
    dispatchQueueDepth: () => manager.dispatchQueueDepth,
    dispatchQueueCapacity: () => manager.dispatchQueueCapacity,
    queuedMessages: () => manager.queuedMessages(),
    sendQueueCapacity: () => manager.sendQueueCapacity,
    pushStreamLength: () => messaging.stream?.length ?? 0,
    settlementsPending: () => settler.pendingCount,
    settlementOldestAgeMs: () => settler.oldestAgeMs,
    settlementsSetAside: () => settler.setAsideCount,
    settlementAvailable,
    orphans: () => tracker.orphans,
  };
}
