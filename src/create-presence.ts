import { type KeptAnswers, MemoryKeptAnswers } from './cluster/kept-answers.ts';
import type { NodeDirectory } from './cluster/node-directory.ts';
import type { Post } from './cluster/post.ts';
import type { PushChannelOptions } from './cluster/push-channel.ts';
import type { RedisBus } from './cluster/redis-bus.ts';
import type { Config } from './config/config.ts';
import type { RevocationStore } from './gateway/revocations.ts';
import type { TicketStore } from './gateway/tickets.ts';
import type { ObservedTime } from './heartbeat/observed-time.ts';
import type { Clock } from './lib/clock.ts';
import { ok, type Result } from './lib/result.ts';
import type { Log } from './logging/log.ts';
import type { Counters } from './metrics/counters.ts';
import type { LossNotices } from './presence/node/loss-notices.ts';
import { responsiveForMs, type WorldRules } from './presence/rules/session-policy.ts';
import { MemoryPresenceStore } from './presence/store/memory/store.ts';
import type { PresenceStore } from './presence/store/port.ts';
import type { PeriodRow } from './protocol/periods.ts';
import type { RedisLink } from './redis/link.ts';
import type { UserStore } from './settlement/user-store.ts';

export interface PresenceStoreOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly time: ObservedTime;
  readonly node: string;
  readonly log: Log;
  readonly counters: Counters;
  readonly users: UserStore;
  /** Fresh ids. */
  readonly newId: () => string;
}

export interface OpenedPresenceStore {
  readonly store: PresenceStore;
  /** Hears what foreign programs push (`LINGXI_PUSH_CHANNEL`); absent in-process. */
  readonly listen?: (push: PushChannelOptions['push']) => Promise<void>;
  /** The answers that are kept by idempotency key. */
  readonly answers: KeptAnswers;
  /** What only several nodes need: the ways between them, and the list of them. */
  readonly peers?: {
    readonly bus: RedisBus;
    readonly post: Post;
    readonly directory: NodeDirectory;
    readonly notices: LossNotices;
    readonly link: RedisLink;
  };
  /** What all nodes must know of credentials; absent in-process. */
  readonly credentialStores?: { readonly revocations: RevocationStore; readonly tickets: TicketStore };
}

const ADOPTION_PAGE = 500;

/** The in-process store, or Redis where `REDIS_URL` is set. A failure is one sentence that says what to do. */
export async function createPresenceStore(
  options: PresenceStoreOptions,
): Promise<Result<OpenedPresenceStore, { message: string }>> {
  const { redisUrl } = options.config;
  const rules = rulesOf(options.config);
  if (redisUrl !== undefined) {
    // Embedded stores do not load the client of Redis: it would take 3 MB.
    const { openRedisPresence } = await import('./create-redis-presence.ts');
    return openRedisPresence(options, redisUrl, rules);
  }
  const store = new MemoryPresenceStore({
    clock: options.clock,
    time: options.time,
    node: options.node,
    ...rules,
    feedLength: options.config.feedLength,
  });
  await adoptOpenPeriods(store, options);
  return ok({ store, answers: new MemoryKeptAnswers(options.clock) });
}

function rulesOf(config: Config): WorldRules {
  return {
    policy: config.sessionPolicy,
    maxConnectionsPerUser: config.maxConnectionsPerUser,
    maxGroupsPerUser: config.maxGroupsPerUser,
    lastSeenTtlMs: config.lastSeenTtlS * 1000,
    responsiveLeftMs: config.heartbeatTimeoutMs - responsiveForMs(config),
  };
}

/** What a process that died left open lingers on in this one (rule ST8). */
async function adoptOpenPeriods(store: MemoryPresenceStore, options: PresenceStoreOptions): Promise<void> {
  const { users, config } = options;
  let after: { readonly userId: number; readonly period: number } | undefined;
  for (;;) {
    const rows: readonly PeriodRow[] = await users.openPeriods({
      limit: ADOPTION_PAGE,
      ...(after === undefined ? {} : { after }),
    });
    const lastAliveAt = await users.nodeLives([...new Set(rows.map(({ node }) => node))]);
    store.adopt(rows, { lingerMs: config.heartbeatTimeoutMs, lastAliveAt });
    const last = rows.at(-1);
    if (last === undefined || rows.length < ADOPTION_PAGE) return;
    after = { userId: last.userId, period: last.period };
  }
}
