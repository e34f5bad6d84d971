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
import { keepLeftLogouts, settleLeftLogouts } from './settlement/left-logouts.ts';
import { describeError } from './settlement/sql-errors.ts';
import type { UserStore } from './settlement/user-store.ts';

export interface PresenceStoreOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly time: ObservedTime;
  readonly node: string;
  readonly log: Log;
  readonly counters: Counters;
  readonly users: UserStore;
  /** New ids. */
  readonly newId: () => string;
}

export interface OpenedPresenceStore {
  readonly store: PresenceStore;
  /** Receives the pushes of other programs (`LINGXI_PUSH_CHANNEL`); absent in-process. */
  readonly listen?: (push: PushChannelOptions['push']) => Promise<void>;
  /** Keeps the logouts that SQL has not accepted for the next start. Absent if the store survives the process. Never throws. */
  readonly keepUnsettled?: () => void;
  /** The stored answers by idempotency key. */
  readonly answers: KeptAnswers;
  /** The parts that only several nodes need: the links between them, and the list of nodes. */
  readonly peers?: {
    readonly bus: RedisBus;
    readonly post: Post;
    readonly directory: NodeDirectory;
    readonly notices: LossNotices;
    readonly link: RedisLink;
  };
  /** Data about credentials that all nodes share; absent in-process. */
  readonly credentialStores?: { readonly revocations: RevocationStore; readonly tickets: TicketStore };
}

const ADOPTION_PAGE = 500;

/** The in-process store; or Redis if `REDIS_URL` is set. A failure is one sentence that says what to do. */
export async function createPresenceStore(
  options: PresenceStoreOptions,
): Promise<Result<OpenedPresenceStore, { message: string }>> {
  const { redisUrl } = options.config;
  const rules = rulesOf(options.config);
  if (redisUrl !== undefined) {
    // With embedded stores, the client of Redis is not loaded: it would take 3 MB.
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
  const { config, clock, node, users, log } = options;
  store.queueAgain(await settleLeftLogouts(config.dataDir, { users, now: () => clock.now(), log }));
  await adoptOpenPeriods(store, options);
  return ok({
    store,
    answers: new MemoryKeptAnswers(clock),
    keepUnsettled: () => {
      try {
        keepLeftLogouts(config.dataDir, { node, aliveAt: clock.now(), duties: store.unsettled });
      } catch (error) {
        log.error(
          { event: 'settlement-failed', error: describeError(error) },
          'what the database did not take could not be kept: the next start ends these periods as lost',
        );
      }
    },
  });
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

/** Users that a dead process left online linger in this process (rule ST8). */
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
