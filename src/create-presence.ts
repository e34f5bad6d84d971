import { type KeptAnswers, MemoryKeptAnswers } from './cluster/kept-answers.ts';
import type { NodeDirectory } from './cluster/node-directory.ts';
import type { Post } from './cluster/post.ts';
import { listenOnPushChannel, type PushChannelOptions } from './cluster/push-channel.ts';
import { RedisBus } from './cluster/redis-bus.ts';
import { RedisKeptAnswers } from './cluster/redis-kept-answers.ts';
import { RedisRevocations } from './cluster/redis-revocations.ts';
import { RedisTickets } from './cluster/redis-tickets.ts';
import type { Config } from './config/config.ts';
import type { RevocationStore } from './gateway/revocations.ts';
import type { TicketStore } from './gateway/tickets.ts';
import type { ObservedTime } from './heartbeat/observed-time.ts';
import type { Clock } from './lib/clock.ts';
import { err, ok, type Result } from './lib/result.ts';
import type { Log } from './logging/log.ts';
import { type Counters, countScript } from './metrics/counters.ts';
import { LossNotices } from './presence/node/loss-notices.ts';
import { responsiveForMs, type WorldRules } from './presence/rules/session-policy.ts';
import { MemoryPresenceStore } from './presence/store/memory/store.ts';
import type { PresenceStore } from './presence/store/port.ts';
import { loadScripts } from './presence/store/redis/scripts.ts';
import { RedisPresenceStore } from './presence/store/redis/store.ts';
import type { PeriodRow } from './protocol/periods.ts';
import { RedisLink } from './redis/link.ts';
import { shownRedisUrl } from './redis/url.ts';
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
const DAY_MS = 86_400_000;

/** The in-process store, or Redis where `REDIS_URL` is set. A failure is one sentence that says what to do. */
export async function createPresenceStore(
  options: PresenceStoreOptions,
): Promise<Result<OpenedPresenceStore, { message: string }>> {
  if (options.config.redisUrl !== undefined) return openRedis(options, options.config.redisUrl);
  const store = new MemoryPresenceStore({
    clock: options.clock,
    time: options.time,
    node: options.node,
    ...rulesOf(options.config),
    feedLength: options.config.feedLength,
  });
  await adoptOpenPeriods(store, options);
  return ok({ store, answers: new MemoryKeptAnswers(options.clock) });
}

async function openRedis(
  options: PresenceStoreOptions,
  url: string,
): Promise<Result<OpenedPresenceStore, { message: string }>> {
  const { config, clock, node, log, counters } = options;
  const link = new RedisLink({ url, timeoutMs: config.redisTimeoutMs, clock, scripts: loadScripts() });
  try {
    await link.connect();
    const fault = await versionFault(link);
    if (fault !== undefined) {
      await link.close();
      return err({ message: fault });
    }
    await warnOfEviction(link, log);
  } catch (error) {
    link.disconnect();
    const reason = error instanceof Error ? error.message : String(error);
    return err({
      message: `Redis at ${shownRedisUrl(url)} cannot be used (${reason}): start it, or correct REDIS_URL.`,
    });
  }
  const deadAfterMs = config.heartbeatTimeoutMs + 1000;
  const subscriber = link.subscriber();
  const bus = new RedisBus(link, subscriber, log);
  const notices = new LossNotices({ bus, node, log });
  const redis = new RedisPresenceStore({
    ...rulesOf(config),
    link,
    node,
    deadAfterMs,
    prefix: link.prefix,
    feedLength: config.feedLength,
    timelineTtlMs: config.periodsRetentionDays * DAY_MS,
    now: () => clock.now(),
    lost: (lost) => notices.send(lost),
    sent: (name) => {
      const began = clock.monotonic();
      return (answered) =>
        countScript(counters, { name, seconds: (clock.monotonic() - began) / 1000, answered });
    },
  });
  const listen = (push: PushChannelOptions['push']): Promise<void> =>
    listenOnPushChannel(subscriber, { channel: config.pushChannel, clock, log, counters, push });
  const peers = { bus, post: redis.post, directory: redis.nodes, notices, link };
  const answers = new RedisKeptAnswers({ link, clock, log, newId: options.newId });
  const credentialStores = { revocations: new RedisRevocations(link), tickets: new RedisTickets(link) };
  return ok({ store: redis, listen, peers, answers, credentialStores });
}

/** XAUTOCLAIM and more need Redis 6.2. */
async function versionFault(link: RedisLink): Promise<string | undefined> {
  const version = (await link.info('server', 'redis_version')) ?? '0';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 6 || (major === 6 && minor >= 2)
    ? undefined
    : `Redis ${version} is too old: Lingxi needs Redis 6.2 or later, or Valkey.`;
}

async function warnOfEviction(link: RedisLink, log: Log): Promise<void> {
  const policy = await link.info('memory', 'maxmemory_policy');
  if (policy === 'noeviction' || policy === undefined) return;
  log.warn(
    { event: 'config', policy },
    'Redis may evict keys: set maxmemory-policy noeviction, or presence will be lost under memory pressure',
  );
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
