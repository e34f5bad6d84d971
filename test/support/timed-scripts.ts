import { loadScripts, SCRIPT_NAMES, type ScriptName } from '../../src/presence/store/redis/scripts.ts';
import type { RedisLink } from '../../src/redis/link.ts';

/*
 * The shipped scripts on the time of a test. A link made with {@link timedScripts} runs them on a real Redis:
 *
 * - `TIME` answers what {@link setTime} set.
 * - An expiry lies so far ahead that no key goes while the test runs. {@link deadlines} reads the simulated one, and
 *   {@link expireDue} deletes what is due, as Redis would at the simulated time.
 * - All else is Redis's own: that DEL, PERSIST or an emptied hash takes the expiry away, errors, pub/sub, streams.
 *
 * The Redis must be the test's own: the helpers read and flush whole databases. Calls on one link keep their order, so
 * nobody needs to wait for {@link setTime}.
 */

/** Key of the simulated time, in milliseconds. */
export const NOW_KEY = 'test:now';
/** Added to each simulated deadline: beyond any real clock. */
const FAR_MS = 100_000_000_000_000;
/** A reading has microseconds, which the scripts drop. */
const MICROSECONDS = 999;

/** Before the prelude: what the scripts call Redis is this table. */
const HEADER = `
local real = redis
local redis = setmetatable({}, { __index = real })
local function timed(run)
  return function(command, ...)
    if command == 'TIME' then
      local now = tonumber(real.call('GET', '${NOW_KEY}'))
      return { string.format('%.0f', math.floor(now / 1000)), string.format('%.0f', now % 1000 * 1000 + ${MICROSECONDS}) }
    end
    if command == 'PEXPIRE' and tonumber(select(2, ...)) > 0 then
      local key, ms = ...
      return run('PEXPIREAT', key, string.format('%.0f', ${FAR_MS} + tonumber(real.call('GET', '${NOW_KEY}')) + ms))
    end
    return run(command, ...)
  end
end
redis.call, redis.pcall = timed(real.call), timed(real.pcall)
`;

/** Redis keeps a key until the millisecond of its deadline is over. ARGV: the time from now on, if it changes. */
const PASS_TIME = `
if ARGV[1] then redis.call('SET', '${NOW_KEY}', ARGV[1]) end
local now, gone = tonumber(redis.call('GET', '${NOW_KEY}')), {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local at = redis.call('PEXPIRETIME', key)
  if at >= 0 and now > at - ${FAR_MS} then
    redis.call('DEL', key)
    gone[#gone + 1] = key
  end
end
`;
const EXPIRE_DUE = `${PASS_TIME}
return gone
`;

/** Key, type, simulated deadline (-1: none), content; of a stream also what its groups have in hand. */
const DUMP = `
local function content(key, kind)
  if kind == 'string' then return redis.call('GET', key) end
  if kind == 'hash' then return redis.call('HGETALL', key) end
  if kind == 'set' then return redis.call('SMEMBERS', key) end
  if kind == 'zset' then return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end
  if kind == 'list' then return redis.call('LRANGE', key, 0, -1) end
  return redis.call('XRANGE', key, '-', '+')
end
local function in_hand(key)
  local found = {}
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    for _, entry in ipairs(redis.call('XPENDING', key, group[2], '-', '+', 10000)) do
      found[#found + 1] = { entry[1], entry[2] }
    end
  end
  return found
end
local answer = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if key ~= '${NOW_KEY}' then
    local kind, at = redis.call('TYPE', key).ok, redis.call('PEXPIRETIME', key)
    if at >= 0 then at = at - ${FAR_MS} end
    answer[#answer + 1] = { key, kind, string.format('%.0f', at), content(key, kind), kind == 'stream' and in_hand(key) or {} }
  end
end
return answer
`;

/** Streams with their groups, and expiries, come along. ARGV: database from, database to. */
const COPY_ALL = `
redis.call('SELECT', ARGV[2])
local now = redis.call('GET', '${NOW_KEY}')
redis.call('FLUSHDB')
redis.call('SELECT', ARGV[1])
for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('COPY', key, key, 'DB', ARGV[2]) end
redis.call('SELECT', ARGV[2])
if now then redis.call('SET', '${NOW_KEY}', now) end
return 1
`;

const WIPE = `
local now = redis.call('GET', '${NOW_KEY}')
redis.call('FLUSHDB')
if now then redis.call('SET', '${NOW_KEY}', now) end
return 1
`;

/** Where a text comes from: `prelude` stands before every script. */
type ScriptPart = ScriptName | 'prelude';
/** Changes one Lua text; most answer it as it is. */
export type ScriptMutation = (part: ScriptPart, text: string) => string;

/** Where the prelude ends and where the script ends, as `loadScripts` puts them together. */
const WHOLE = /^([^]*)\nlocal function main\(\)\n([^]*)\nend\nlocal answer = main\(\)\n([^]*)$/;

/** For the option `scripts` of a {@link RedisLink}. */
export function timedScripts(mutate: ScriptMutation = (_, text) => text): Readonly<Record<string, string>> {
  const shipped = loadScripts();
  const timed = SCRIPT_NAMES.map((name) => {
    const [, prelude, body, tail] = WHOLE.exec(shipped[name]) ?? [];
    if (prelude === undefined || body === undefined) throw new Error(`${name}.lua is put together otherwise`);
    const script = `local function main()\n${mutate(name, body)}\nend\nlocal answer = main()\n${tail}`;
    return [name, `${HEADER}${mutate('prelude', prelude)}\n${script}`] as const;
  });
  const helpers = {
    ...{ testDump: DUMP, testDumpAt: `${PASS_TIME}${DUMP}` },
    ...{ testExpire: EXPIRE_DUE, testCopy: COPY_ALL, testWipe: WIPE },
  };
  return { ...Object.fromEntries(timed), ...helpers };
}

/** A mutation of one place: `from` must stand there exactly once. */
export function replaced(part: ScriptPart, from: string, to: string): ScriptMutation {
  return (asked, text) => {
    if (asked !== part) return text;
    if (text.split(from).length !== 2) throw new Error(`${part}.lua does not have this once: ${from}`);
    return text.replace(from, () => to);
  };
}

/** What the scripts read from now on. Calls that the link sends after this one see it. */
export async function setTime(link: RedisLink, now: number): Promise<void> {
  await link.client.set(NOW_KEY, now);
}

/** Deletes the keys whose simulated deadline is over, at the time `now` from here on; answers them. */
export async function expireDue(link: RedisLink, now?: number): Promise<readonly string[]> {
  return (await link.script('testExpire', NOW_KEY, now === undefined ? [] : [now])) as string[];
}

/** One key of Redis, as it is. */
export interface DumpedKey {
  readonly type: string;
  /** Simulated time after which it goes; undefined: it stays. */
  readonly deadline: number | undefined;
  /** As Redis answers: text of a string, a flat list of a hash, set, sorted set or list, entries of a stream. */
  readonly content: unknown;
  /** Of a stream: entries that a consumer of a group has, and which consumer. */
  readonly inHand: readonly (readonly [id: string, consumer: string])[];
}

/** As {@link DUMP} answers. */
export type DumpRow = readonly [
  ...[key: string, type: string, at: string, content: unknown],
  inHand: readonly (readonly [string, string])[],
];

/** The whole database, but for the test's own key; with `now`, as it is after {@link expireDue}. */
export async function dump(link: RedisLink, now?: number): Promise<ReadonlyMap<string, DumpedKey>> {
  const rows =
    now === undefined ? link.script('testDump', NOW_KEY, []) : link.script('testDumpAt', NOW_KEY, [now]);
  return dumpedKeys((await rows) as DumpRow[]);
}

/** What the script of a dump answers, by key. */
export function dumpedKeys(rows: readonly DumpRow[]): ReadonlyMap<string, DumpedKey> {
  return new Map(
    rows.map(([key, type, at, content, inHand]) => {
      const deadline = Number(at) < 0 ? undefined : Number(at);
      return [key, { type, deadline, content: type === 'hash' ? sortedFields(content) : content, inHand }];
    }),
  );
}

/** Redis answers the fields of a hash in an order that a copy need not have. */
function sortedFields(content: unknown): readonly string[] {
  const flat = content as readonly string[];
  const names = flat.filter((_, index) => index % 2 === 0);
  const values = new Map(names.map((name, index) => [name, flat[2 * index + 1] ?? '']));
  return [...values].sort(([left], [right]) => (left < right ? -1 : 1)).flat();
}

/** Simulated deadline of each key that has one. */
export async function deadlines(link: RedisLink): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for (const [key, { deadline }] of await dump(link)) if (deadline !== undefined) found.set(key, deadline);
  return found;
}

/** Keeps a copy of everything in another database of the same Redis: a snapshot that {@link bringBack} returns to. */
export async function keepCopy(link: RedisLink, database: number): Promise<void> {
  await link.script('testCopy', NOW_KEY, [link.database, database]);
}

/** Puts a kept copy in the place of everything, as a failover to an older replica does. The simulated time stays. */
export async function bringBack(link: RedisLink, database: number): Promise<void> {
  await link.script('testCopy', NOW_KEY, [database, link.database]);
}

/** FLUSHDB; the simulated time stays. */
export async function wipe(link: RedisLink): Promise<void> {
  await link.script('testWipe', NOW_KEY, []);
}
