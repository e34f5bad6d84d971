import { listenOnPushChannel, type PushChannelOptions } from './cluster/push-channel.ts';
import { RedisBus } from './cluster/redis-bus.ts';
import { RedisKeptAnswers } from './cluster/redis-kept-answers.ts';
import { RedisRevocations } from './cluster/redis-revocations.ts';
import { RedisTickets } from './cluster/redis-tickets.ts';
import type { OpenedPresenceStore, PresenceStoreOptions } from './create-presence.ts';
import { err, ok, type Result } from './lib/result.ts';
import type { Log } from './logging/log.ts';
import { countScript } from './metrics/counters.ts';
import { LossNotices } from './presence/node/loss-notices.ts';
import type { WorldRules } from './presence/rules/session-policy.ts';
import { loadScripts } from './presence/store/redis/scripts.ts';
import { RedisPresenceStore } from './presence/store/redis/store.ts';
import { RedisLink } from './redis/link.ts';
import { shownRedisUrl } from './redis/url.ts';

const DAY_MS = 86_400_000;

/** Presence in Redis. A failure is one sentence that says what to do. */
export async function openRedisPresence(
  options: PresenceStoreOptions,
  url: string,
  rules: WorldRules,
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
    ...rules,
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

/** XAUTOCLAIM and other commands need Redis 6.2. */
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
