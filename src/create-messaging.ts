import { Inbox } from './cluster/inbox.ts';
import { LocalDelivery } from './cluster/local-delivery.ts';
import { NodeCalls } from './cluster/node-calls.ts';
import { ParcelReceiver } from './cluster/parcel-receiver.ts';
import { PushRate } from './cluster/push-rate.ts';
import { PushRouter } from './cluster/push-router.ts';
import { RemoteDelivery } from './cluster/remote-delivery.ts';
import type { Config } from './config/config.ts';
import type { ConnectionManager } from './connection/connection-manager.ts';
import type { OpenedPresenceStore } from './create-presence.ts';
import type { Clock } from './lib/clock.ts';
import type { Log } from './logging/log.ts';
import type { Counters } from './metrics/counters.ts';
import type { PresenceTracker } from './presence/node/tracker.ts';

/** What carries messages to users, and frames between nodes. */
export interface Messaging {
  readonly router: PushRouter;
  /** Questions to other nodes; absent where there are none. */
  readonly calls: NodeCalls | undefined;
  /** Resolves once other nodes can reach this one. */
  start(): Promise<void>;
}

interface MessagingParts {
  readonly config: Config;
  readonly node: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  /** Fresh ids for calls and parcels. */
  readonly newId: () => string;
  readonly opened: OpenedPresenceStore;
  readonly manager: ConnectionManager;
  readonly tracker: PresenceTracker;
}

export function createMessaging(parts: MessagingParts): Messaging {
  const { config, clock, manager, tracker, opened } = parts;
  const delivery = new LocalDelivery(manager, new PushRate(config.pushRatePerUser, clock));
  const local = {
    clock,
    manager,
    delivery,
    presence: tracker,
    mayBeOnSeveralNodes: config.sessionPolicy === 'multi',
  };
  if (opened.peers === undefined)
    return { router: new PushRouter(local), calls: undefined, start: () => Promise.resolve() };
  const { bus, post } = opened.peers;
  const inbox = new Inbox({ ...parts, bus });
  const ways = { ...parts, post, inbox };
  // It answers by itself whatever arrives for it.
  new ParcelReceiver({ ...ways, delivery, sockets: tracker });
  return {
    router: new PushRouter({ ...local, remote: new RemoteDelivery(ways) }),
    calls: new NodeCalls(ways),
    start: () => inbox.listen(),
  };
}
