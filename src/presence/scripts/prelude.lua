-- Prepended to every script: keys, the observed clock, records. Follows src/presence/core line by line.
--
-- KEYS[1]  <prefix>lingxi:world; every other key shares its prefix, and on Redis Cluster its slot.
-- ARGV[1]  prefix   ARGV[2] node (incarnation)   ARGV[3] lease   ARGV[4] run_id of this Redis
-- ARGV[5]  LINGXI_LAST_SEEN_TTL_S in ms;LINGXI_FEED_LENGTH;how long a timeline is kept in ms
--
-- Times are milliseconds. The wall clock is what is shown or stored; the observed clock carries deadlines: it moves
-- by what TIME moved since the last script, 0 to 2,000 ms, so that a step, a suspend or an outage charges nobody.

local prefix, node, lease, run_id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local WORLD = KEYS[1]
local NODES = prefix .. 'lingxi:nodes'
local DEAD = prefix .. 'lingxi:dead'
local DUTIES = prefix .. 'lingxi:duties'
local FEED = prefix .. 'lingxi:feed'
local ONLINE = prefix .. 'lingxi:online'
local ONLINE_SET = prefix .. 'server:online:players'

local YOUNG_MS = 2000
local MAX_CHARGED_MS = 2000
local MIRROR_TTL_MS = 60000
local TIMELINE_LENGTH = 100

local function num(n) return string.format('%.0f', n) end
local function user_key(id) return prefix .. 'lingxi:u:' .. id end
local function node_key(n) return prefix .. 'lingxi:n:' .. n end
local function lost_key(n) return prefix .. 'lingxi:lost:' .. n end
local function timeline_key(id) return prefix .. 'lingxi:t:' .. id end
local function mirror_key(id) return prefix .. 'player:online:' .. id end

local function split(text, separator)
  local parts, from = {}, 1
  while true do
    local at = string.find(text, separator, from, true)
    if not at then
      parts[#parts + 1] = string.sub(text, from)
      return parts
    end
    parts[#parts + 1] = string.sub(text, from, at - 1)
    from = at + 1
  end
end

local settings = split(ARGV[5], ';')
local last_seen_ttl, feed_length, timeline_ttl = tonumber(settings[1]), settings[2], tonumber(settings[3])

-- A foreign program may have left another type under one of the seed's keys: ours replaces it.
local function heal(key, ...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    if string.find(answer.err, 'WRONGTYPE', 1, true) then redis.call('DEL', key) end
    return redis.call(...)
  end
  return answer
end

local time = redis.call('TIME')
local wall = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local world = redis.call('HMGET', WORLD, 'clock', 'reading', 'high', 'run', 'birth')
local known_world = world[1] ~= false
local observed = tonumber(world[1] or wall)
if known_world then
  observed = observed + math.max(0, math.min(MAX_CHARGED_MS, wall - tonumber(world[2])))
end
local high = tonumber(world[3] or 0)
local birth = tonumber(world[5] or observed)
local function keep_clock() redis.call('HSET', WORLD, 'clock', num(observed), 'reading', num(wall)) end
local function is_young() return observed < birth + YOUNG_MS end

-- lease|seen|restored
local function node_entry(n)
  local text = redis.call('HGET', NODES, n)
  if not text then return nil end
  local parts = split(text, '|')
  return { lease = parts[1], seen = tonumber(parts[2]), restored = parts[3] }
end
local function keep_node(n, entry)
  redis.call('HSET', NODES, n, entry.lease .. '|' .. num(entry.seen) .. '|' .. entry.restored)
end

-- Every script under a valid lease is a sign of life.
local function has_lease()
  if not known_world or world[4] ~= run_id then return false end
  local entry = node_entry(node)
  if not entry or entry.lease ~= lease then return false end
  keep_clock()
  entry.seen = observed
  keep_node(node, entry)
  return true
end

-- rev|sockets|epoch|socketUntil|httpUntil|answer
local function parse_hold(text)
  local p = split(text, '|')
  return { rev = tonumber(p[1]), sockets = tonumber(p[2]), epoch = p[3], socket_until = tonumber(p[4]), http_until = tonumber(p[5]), answer = p[6] }
end
local function format_hold(h)
  return num(h.rev) .. '|' .. num(h.sockets) .. '|' .. h.epoch .. '|' .. num(h.socket_until) .. '|' .. num(h.http_until) .. '|' .. h.answer
end

local function load(id)
  local flat = redis.call('HGETALL', user_key(id))
  local r = { id = id, f = {}, holds = {}, held = 0, exists = #flat > 0 }
  for i = 1, #flat, 2 do
    local name = flat[i]
    if string.sub(name, 1, 2) == 'h:' then
      r.holds[string.sub(name, 3)] = parse_hold(flat[i + 1])
      r.held = r.held + 1
    else
      r.f[name] = flat[i + 1]
    end
  end
  r.period = tonumber(r.f.per or 0)
  r.login = tonumber(r.f.login or 0)
  r.epoch = tonumber(r.f.epoch or 0)
  r.recorded = r.f.rec == '1'
  r.proof = tonumber(r.f.proof or 0)
  r.till = tonumber(r.f.till or 0)
  return r
end

local function keep(r)
  redis.call('HSET', user_key(r.id), 'per', num(r.period), 'login', num(r.login), 'epoch', num(r.epoch), 'rec', r.recorded and '1' or '0',
    'proof', num(r.proof), 'till', num(r.till), 'ip', r.f.ip or '', 'name', r.f.name or '')
end
local function keep_hold(r, n, h)
  if not r.holds[n] then r.held = r.held + 1 end
  r.holds[n] = h
  redis.call('HSET', user_key(r.id), 'h:' .. n, format_hold(h))
  redis.call('SADD', node_key(n), r.id)
end
local function drop_hold(r, n)
  if r.holds[n] then
    r.holds[n] = nil
    r.held = r.held - 1
  end
  redis.call('HDEL', user_key(r.id), 'h:' .. n)
  redis.call('SREM', node_key(n), r.id)
end

-- The seed's hash, whole.
local function mirror(r)
  local key = mirror_key(r.id)
  heal(key, 'HSET', key, 'playerId', r.id, 'loginTime', num(r.login), 'lastHeartbeat', num(r.proof), 'ip', r.f.ip or '', 'status', 'online')
  redis.call('HDEL', key, 'logoutTime')
  redis.call('PEXPIRE', key, MIRROR_TTL_MS)
end

-- Every change stands in the user's timeline; going online and offline also in the feed (rule PR12).
local function change(r, event, cause, at, holder)
  local key = timeline_key(r.id)
  redis.call('XADD', key, 'MAXLEN', TIMELINE_LENGTH, '*', 'a', num(at), 't', event, 'c', cause, 'n', holder, 'e', num(r.epoch))
  redis.call('PEXPIRE', key, num(timeline_ttl))
  if event == 'online' or event == 'offline' then
    redis.call('XADD', FEED, 'MAXLEN', '~', feed_length, '*', 'u', r.id, 'a', num(at), 't', event, 'c', cause, 'n', holder, 'e', num(r.epoch), 'p', num(r.period))
  end
end

local function show(r)
  heal(ONLINE_SET, 'SADD', ONLINE_SET, r.id)
  redis.call('ZADD', ONLINE, r.id, r.id)
  mirror(r)
end

-- The record of a user who is offline and settled goes in time.
local function expire_offline(r)
  redis.call('PEXPIRE', user_key(r.id), num(math.max(1, last_seen_ttl, tonumber(r.f.block or 0) - observed)))
end

-- Nobody was told of a period that was not recorded: a row of it that is open in SQL is reconciled.
local function forget_opening(r)
  if not r.f.last and not r.f.un and not r.f.block then
    redis.call('DEL', user_key(r.id))
  elseif not r.f.un then
    expire_offline(r)
  end
end

-- END: status, online set, mirror, duty in one step (rule ST1).
local function end_period(r, reason, logout, holder)
  for n in pairs(r.holds) do drop_hold(r, n) end
  heal(ONLINE_SET, 'SREM', ONLINE_SET, r.id)
  redis.call('ZREM', ONLINE, r.id)
  local key = mirror_key(r.id)
  if last_seen_ttl == 0 then
    redis.call('DEL', key)
  else
    heal(key, 'HSET', key, 'playerId', r.id, 'loginTime', num(r.login), 'lastHeartbeat', num(r.proof), 'ip', r.f.ip or '', 'status', 'offline', 'logoutTime', num(logout))
    redis.call('PEXPIRE', key, last_seen_ttl)
  end
  r.recorded = false
  r.f.last = num(r.period) .. '|' .. num(r.login) .. '|' .. num(r.proof) .. '|' .. num(logout) .. '|' .. reason
  keep(r)
  redis.call('HSET', user_key(r.id), 'last', r.f.last, 'un', num(r.period))
  change(r, 'offline', reason, logout, holder)
  redis.call('XADD', DUTIES, '*', 'u', r.id, 'p', num(r.period), 'l', num(r.login), 'o', num(logout), 's', num(r.proof), 'r', reason, 'n', holder)
  return table.concat({ r.id, num(r.period), num(r.epoch), num(r.login), num(logout), reason }, ',')
end

-- Removes one hold; the last one ends the period. Answers the end, or nil.
local function drop_or_end(r, n, reason)
  drop_hold(r, n)
  if r.held > 0 then
    change(r, 'released', reason, wall, n)
    return nil
  end
  if not r.recorded then
    forget_opening(r)
    return nil
  end
  -- A statement that was long on its way told its proof, and with it this end, as much too new: it is past already.
  r.proof = math.max(r.login, r.proof - math.max(0, r.till - wall))
  return end_period(r, reason, math.max(r.login, math.min(wall, r.till)), n)
end

local function lose(n, id, rev, reason) redis.call('HSET', lost_key(n), id, num(rev) .. '|' .. reason) end
