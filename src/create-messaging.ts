import { listenToGroups } from './cluster/group-notices.ts';
import { IdempotentPushes } from './cluster/idempotent-pushes.ts';
import { InboundWriter } from './cluster/inbound-writer.ts';
import { Inbox } from './cluster/inbox.ts';
import { LocalDelivery } from './cluster/local-delivery.ts';
import { NodeCalls } from './cluster/node-calls.ts';
import { ParcelReceiver } from './cluster/parcel-receiver.ts';
import { PushRate } from './cluster/push-rate.ts';
import { PushRouter } from './cluster/push-router.ts';
import { PushStream } from './cluster/push-stream.ts';
import { PushStreamStore } from './cluster/push-stream-store.ts';
import { RemoteDelivery } from './cluster/remote-delivery.ts';
import type { Pushes } from './cluster/router.ts';
import type { Config } from './config/config.ts';
import type { ConnectionManager } from './connection/connection-manager.ts';
import type { OpenedPresenceStore } from './create-presence.ts';
import type { Clock } from './lib/clock.ts';
import type { Log } from './logging/log.ts';
import type { Counters } from './metrics/counters.ts';
import type { PresenceTracker } from './presence/node/tracker.ts';
import type { StopList } from './stop-list.ts';

/** The parts that carry messages to users, and frames between nodes. */
export interface Messaging {
  readonly router: PushRouter;
  /** The parts that accept the pushes of back ends. */
  readonly pushes: Pushes;
  /** Calls to other nodes; absent if there are none. */
  readonly calls: NodeCalls | undefined;
  /** Reads what other programs add to the push stream; absent without Redis, or if it is off. */
  readonly stream: PushStream | undefined;
  /** Resolves once other nodes can reach this one. */
  start(): Promise<void>;
}

interface MessagingParts {
  readonly config: Config;
  readonly node: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  /** New ids for calls and parcels. */
  readonly newId: () => string;
  /** A short text that represents a long one. */
  readonly digest: (text: string) => string;
  readonly opened: OpenedPresenceStore;
  readonly manager: ConnectionManager;
  readonly tracker: PresenceTracker;
}

export function createMessaging(parts: MessagingParts): Messaging {
  const { config, clock, manager, tracker, opened } = parts;
  const delivery = new LocalDelivery(manager, new PushRate(config.pushRatePerUser, clock), tracker);
  const local = {
    clock,
    manager,
    delivery,
    presence: tracker,
    mayBeOnSeveralNodes: config.sessionPolicy === 'multi',
  };
  const pushesTo = (router: PushRouter): Pushes =>
    new IdempotentPushes({ ...parts, router, answers: opened.answers, presence: tracker });
  if (opened.peers === undefined) {
    const router = new PushRouter(local);
    return {
      router,
      pushes: pushesTo(router),
      calls: undefined,
      stream: undefined,
      start: () => Promise.resolve(),
    };
  }
  const { bus, post } = opened.peers;
  const inbox = new Inbox({ ...parts, bus });
  const ways = { ...parts, post, inbox };
  // It handles everything that arrives for it by itself.
  new ParcelReceiver({ ...ways, delivery, sockets: tracker });
  listenToGroups(inbox, (notice) => tracker.groupChanged(notice));
  const router = new PushRouter({ ...local, remote: new RemoteDelivery(ways) });
  const stream = createPushStream(parts, router);
  return {
    router,
    pushes: pushesTo(router),
    calls: new NodeCalls(ways),
    stream,
    start: () => {
      stream?.start();
      return inbox.listen();
    },
  };
}

function createPushStream(parts: MessagingParts, router: PushRouter): PushStream | undefined {
  const { config, clock, node, opened } = parts;
  if (opened.peers === undefined || config.pushStreamLength === 0) return undefined;
  const { link } = opened.peers;
  return new PushStream({
    ...parts,
    router,
    store: new PushStreamStore({ link, clock, node, timeoutMs: config.redisTimeoutMs }),
    takeOverAfterMs: config.heartbeatTimeoutMs + 1000,
    maxLength: config.pushStreamLength,
    maxCharacters: config.maxBodyBytes,
  });
}

/** Writes client messages to Redis. Undefined without Redis, or if that is off. */
export function createInboundWriter(
  parts: Pick<MessagingParts, 'config' | 'clock' | 'log' | 'counters' | 'node' | 'opened'> & {
    readonly running: StopList;
  },
): InboundWriter | undefined {
  const { config, opened, running } = parts;
  if (opened.peers === undefined || config.inboundLength === 0) return undefined;
  const writer = new InboundWriter({ ...parts, link: opened.peers.link, length: config.inboundLength });
  running.started('inbound', () => writer.stop());
  return writer;
}
