import { NOW_KEY, type ScriptMutation, timedScripts } from '../support/timed-scripts.ts';
import type { RedisSource } from './deployment.ts';
import { RealRedis } from './real-redis.ts';
import { type Command, isError, RedisBridge, type Reply } from './redis-bridge.ts';
import type { SimulatedRedisOptions } from './simulated-redis.ts';

/** Simulated deliveries are moved back by this time, because Redis accepts no time in the future. */
const LONG_AGO_MS = 315_576_000_000;

/** The ids of streams follow the time of the test as well, so a rollback repeats some of them. */
const IDS = `
local below = redis
local redis = setmetatable({}, { __index = below })
local function next_id(key)
  local now, ms, seq = tonumber(below.call('GET', '${NOW_KEY}')), -1, 0
  local info = below.pcall('XINFO', 'STREAM', key)
  for i = 1, info.err and 0 or #info, 2 do
    if info[i] == 'last-generated-id' then ms, seq = string.match(info[i + 1], '^(%d+)-(%d+)$') end
  end
  if now > tonumber(ms) then return string.format('%.0f-0', now) end
  return string.format('%s-%.0f', ms, tonumber(seq) + 1)
end
local function with_ids(run)
  return function(command, ...)
    if command ~= 'XADD' then return run(command, ...) end
    local parts, done = { ... }, false
    for i, part in ipairs(parts) do
      if part == '*' and not done then parts[i], done = next_id(parts[1]), true end
    end
    return run(command, unpack(parts))
  end
end
redis.call, redis.pcall = with_ids(below.call), with_ids(below.pcall)
`;

/** Sets the delivery time of entries to the time of the test. */
const GIVEN = `
local stamp = string.format('%.0f', tonumber(redis.call('GET', '${NOW_KEY}')) - ${LONG_AGO_MS})
local function note(stream, group, consumer, entries)
  for _, entry in ipairs(entries) do
    if entry and entry[2] then redis.call('XCLAIM', stream, group, consumer, 0, entry[1], 'TIME', stamp, 'JUSTID') end
  end
end
`;

/** ARGV: group, consumer, limit, from. */
const READ_GROUP = `${GIVEN}
local reply = redis.pcall('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', ARGV[3], 'STREAMS', KEYS[1], ARGV[4])
if reply and not reply.err then note(KEYS[1], ARGV[1], ARGV[2], reply[1][2]) end
return reply
`;

/** ARGV: group, consumer, idle time in ms, limit. */
const CLAIM_ABANDONED = `${GIVEN}
local time = redis.call('TIME')
local idle = tonumber(ARGV[3]) + time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(stamp)
local reply = redis.pcall('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], string.format('%.0f', idle), '0-0', 'COUNT', ARGV[4])
if not reply.err then note(KEYS[1], ARGV[1], ARGV[2], reply[2]) end
return reply
`;

/** The shipped scripts in a real Redis, on the time of a test. The caller waits for the round trip of each call. */
export class ScriptRunner implements RedisSource {
  readonly #bridge: RedisBridge;
  readonly #hashes = new Map<string, string>();

  constructor(redisPort: number, mutate?: ScriptMutation) {
    this.#bridge = new RedisBridge(redisPort);
    const helpers = { testReadGroup: READ_GROUP, testAbandoned: CLAIM_ABANDONED };
    for (const [name, lua] of Object.entries(timedScripts(mutate))) this.#load(name, `${IDS}${lua}`);
    for (const [name, lua] of Object.entries(helpers)) this.#load(name, lua);
  }

  redis(options: SimulatedRedisOptions, differs: (text: string) => void): RealRedis {
    return new RealRedis({ ...options, runner: this, differs });
  }

  get calls(): number {
    return this.#bridge.calls;
  }

  /** Empties all databases. */
  reset(): void {
    this.#bridge.send([['FLUSHALL']]);
  }

  /** Removes expired keys, then runs the commands. */
  run(now: number, ...commands: readonly Command[]): readonly Reply[] {
    const [, , ...replies] = this.#bridge.send([['SET', NOW_KEY, now], this.call('testExpire'), ...commands]);
    return replies;
  }

  /** The command that runs a script. */
  call(name: string, key: string = NOW_KEY, args: readonly (string | number)[] = []): Command {
    return ['EVALSHA', this.#hashes.get(name) ?? '', 1, key, ...args];
  }

  close(): Promise<void> {
    return this.#bridge.close();
  }

  #load(name: string, lua: string): void {
    const [hash] = this.#bridge.send([['SCRIPT', 'LOAD', lua]]);
    if (typeof hash !== 'string') throw new Error(`${name}: ${isError(hash) ? hash.error : 'not loaded'}`);
    this.#hashes.set(name, hash);
  }
}
