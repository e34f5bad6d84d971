import type { RedisLink } from '../../../redis/link.ts';

/** Commands that the store sends beside its scripts. */
type PlainCommand =
  | ('xreadgroup' | 'xautoclaim' | 'xgroup' | 'xlen' | 'xrange' | 'xrevrange' | 'lrange')
  | ('hlen' | 'hset' | 'hmget' | 'zrangebyscore' | 'zcard' | 'type' | 'del' | 'rpush' | 'set');

/** What the store needs of its Redis: a {@link RedisLink}, or another carrier of scripts. */
export interface StoreConnection
  extends Pick<RedisLink, 'connectionName' | 'database' | 'runId' | 'script' | 'guarded' | 'close'> {
  readonly client: Pick<RedisLink['client'], PlainCommand>;
}
