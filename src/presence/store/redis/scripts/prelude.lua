-- Precedes every script: keys, the observed clock, records. Follows src/presence/rules line by line. The functions that pack and
-- unpack lists of fields precede it; wire-header.ts generates them from wire.ts: read_claim, parse_hold, format_hold and others.
-- It is over 400 lines long, because Redis gets it as one text and its functions share the variables of one script.
--
-- KEYS[1]  <prefix>lingxi:world; every other key shares its prefix, and on Redis Cluster its slot.
-- ARGV[1]  prefix   ARGV[2] node (incarnation)   ARGV[3] lease   ARGV[4] run_id of this Redis
-- ARGV[5]  LINGXI_LAST_SEEN_TTL_S in ms;LINGXI_FEED_LENGTH;how long a timeline is kept in ms;database number
--
-- Times are milliseconds. The wall clock is for times that are shown or stored, the observed clock for deadlines. The observed
-- clock moves by the change of TIME since the last script, 0 to 2,000 ms. So a step, a suspend or an outage charges nobody.

local prefix, node, lease, run_id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local WORLD = KEYS[1]
local NODES = prefix .. 'lingxi:nodes'
local DEAD = prefix .. 'lingxi:dead'
local DUTIES = prefix .. 'lingxi:duties'
local FEED = prefix .. 'lingxi:feed'
local ONLINE = prefix .. 'lingxi:online'
local ONLINE_SET = prefix .. 'server:online:players'
local FOREIGN = prefix .. 'lingxi:foreign'

local YOUNG_MS = 2000
local LOGINS_FIRST_MS = 500
local MAX_CHARGED_MS = 2000
-- If more time lies between two scripts, no node could restore its holds in that time.
local STALL_MS = 1000
local MIRROR_TTL_MS = 60000
local TIMELINE_LENGTH = 100
local MAX_FOREIGN = 100
local MAX_UNSETTLED = 100
local SENT_TTL_MS = 86400000
-- The longest heartbeat timeout that can be set. A node may hold a silent socket for that long.
local ENDING_KEPT_MS = 3600000
local GROUP = 'settlers'

-- A script writes the same times many times. Each is formatted once.
local nums = {}
function num(n)
  local text = nums[n]
  if not text then
    text = string.format('%.0f', n)
    nums[n] = text
  end
  return text
end
local function user_key(id) return prefix .. 'lingxi:u:' .. id end
local function node_key(n) return prefix .. 'lingxi:n:' .. n end
local function ending_key(id) return prefix .. 'lingxi:ended:' .. id end
local function sent_key(n) return prefix .. 'lingxi:sent:' .. n end
local function lost_key(n) return prefix .. 'lingxi:lost:' .. n end
-- The sets that are sorted by user id, so that readers can page through them.
local sorted = { [ONLINE] = true }
local function group_key(name)
  local key = prefix .. 'lingxi:g:' .. name
  sorted[key] = true
  return key
end
local function timeline_key(id) return prefix .. 'lingxi:tl:' .. id end
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

-- Notes a key with a value of another program. A node logs it with its next renewal.
local function note_foreign(key)
  if redis.call('TYPE', FOREIGN).ok ~= 'list' then redis.call('DEL', FOREIGN) end
  redis.call('RPUSH', FOREIGN, key)
  redis.call('LTRIM', FOREIGN, -MAX_FOREIGN, -1)
end

-- As redis.call, but first deletes a value of another type under the key.
local pcall = redis.pcall
local function call(command, key, ...)
  local answer = pcall(command, key, ...)
  if type(answer) == 'table' and answer.err then
    if string.find(answer.err, 'WRONGTYPE', 1, true) then
      note_foreign(key)
      redis.call('DEL', key)
    end
    return redis.call(command, key, ...)
  end
  return answer
end

-- The changes of each set. The script makes them at its end with one command per set.
local members = {}
local function put(key, id)
  members[key] = members[key] or {}
  members[key][id] = true
end
local function take_out(key, id)
  members[key] = members[key] or {}
  members[key][id] = false
end

-- The groups of a user who is online: those that the service gave, and those of the tokens of connections. Rule GR1.
local function groups_text(r)
  if r.held == 0 or not r.recorded then return '' end
  local text = r.f.sg and string.match(r.f.sg, ';.*$') or ''
  for _, h in pairs(r.holds) do
    if h.token_groups ~= '' then text = text .. ';' .. h.token_groups end
  end
  return text
end
local function groups_in(text)
  local names, count = {}, 0
  for name in string.gmatch(text, '[^;]+') do
    if not names[name] then count = count + 1 end
    names[name] = true
  end
  return names, count
end

-- The records whose groups this script may change. At its end the script changes the sets of the groups.
local watched = {}
local function watch_groups(r)
  if r.shown_in then return end
  r.shown_in = groups_text(r)
  watched[#watched + 1] = r
end
local function settle_groups()
  for _, r in ipairs(watched) do
    local before, after = r.shown_in, groups_text(r)
    if before ~= after then
      local was, is = groups_in(before), groups_in(after)
      for name in pairs(was) do
        if not is[name] then take_out(group_key(name), r.id) end
      end
      for name in pairs(is) do
        if not was[name] then put(group_key(name), r.id) end
      end
      r.shown_in = after
    end
  end
end

local function settle_members()
  settle_groups()
  for key, ids in pairs(members) do
    local added, removed = {}, {}
    local is_sorted = sorted[key]
    for id, is_in in pairs(ids) do
      if not is_in then
        removed[#removed + 1] = id
      else
        if is_sorted then added[#added + 1] = id end
        added[#added + 1] = id
      end
    end
    if #added > 0 then call(is_sorted and 'ZADD' or 'SADD', key, unpack(added)) end
    if #removed > 0 then call(is_sorted and 'ZREM' or 'SREM', key, unpack(removed)) end
  end
  members = {}
end

-- Reads a time, a number of a period or an epoch.
local function whole_number(text)
  local n = tonumber(text)
  return n and n >= 0 and n < 2 ^ 53 and n or nil
end

local time = redis.call('TIME')
local wall = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local world = call('HMGET', WORLD, 'clock', 'reading', 'high', 'run', 'start')
local clock, reading, start = whole_number(world[1]), whole_number(world[2]), whole_number(world[5])
local known_world = clock ~= nil and reading ~= nil and start ~= nil and start <= clock
local observed = known_world and clock + math.max(0, math.min(MAX_CHARGED_MS, wall - reading)) or wall
local high = whole_number(world[3]) or 0
local world_start = start or observed
local function is_young(for_ends) return observed < world_start + YOUNG_MS + (for_ends and LOGINS_FIRST_MS or 0) end
local function keep_clock()
  -- No node could restore anything in that time, so the world is young again from now on.
  if known_world and wall - reading > STALL_MS and clock < world_start + YOUNG_MS then
    world_start = observed
    call('HSET', WORLD, 'start', num(world_start))
  end
  call('HSET', WORLD, 'clock', num(observed), 'reading', num(wall))
end

local function node_entry(n) return parse_node(call('HGET', NODES, n) or '') end
local function keep_node(n, entry) call('HSET', NODES, n, format_node(entry)) end

-- Each script with a valid lease is a sign of life.
local function has_lease()
  if not known_world or world[4] ~= run_id then return false end
  local entry = node_entry(node)
  if not entry or entry.lease ~= lease then return false end
  keep_clock()
  entry.seen = observed
  keep_node(node, entry)
  return true
end

local function is_last(text)
  local period, login, proof, at = string.match(text, LAST_TIMES)
  return period and whole_number(period) and whole_number(login) and whole_number(proof) and whole_number(at)
end
local function are_periods(text)
  if not string.find(text, ';', 1, true) then return whole_number(text) end
  for _, period in ipairs(split(text, ';')) do
    if not whole_number(period) then return false end
  end
  return true
end
-- The groups that the service gave: version;name;name…
local function are_groups(text)
  local version = string.match(text, '^(%d+)[%w_.:;-]*$')
  return version and whole_number(version)
end
local CHECKS = { last = is_last, un = are_periods, sg = are_groups }

local NUMBERS = { per = 'period', login = 'login', epoch = 'epoch', proof = 'proof', till = 'till', op = 'opened_at', block = 'block' }

local function load(id)
  local key = user_key(id)
  local flat = call('HGETALL', key)
  local r = { id = id, f = {}, holds = {}, held = 0, period = 0, login = 0, epoch = 0, proof = 0, till = 0, opened_at = 0, block = 0 }
  r.is_stored = #flat > 0
  local whole = true
  for i = 1, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    local short, check = NUMBERS[name], CHECKS[name]
    local holder = not short and string.match(name, '^h:(.*)$')
    local valid
    if short then
      valid = whole_number(value)
      if valid then r[short] = valid end
    elseif holder then
      valid = parse_hold(value)
      if valid then
        r.holds[holder] = valid
        r.held = r.held + 1
        if valid.token_groups ~= '' then r.has_groups = true end
      end
    else
      valid = not check or check(value)
      if valid then r.f[name] = value end
    end
    if not valid then
      whole = false
      call('HDEL', key, name)
    end
  end
  r.recorded = r.f.rec == '1'
  if r.f.sg or r.has_groups then watch_groups(r) end
  -- The record is damaged. The nodes that hold the user open a new period, and SQL settles the old one.
  if r.held > 0 and (r.period == 0 or r.login == 0) then
    for n in pairs(r.holds) do
      call('HDEL', key, 'h:' .. n)
      take_out(node_key(n), id)
    end
    r.holds, r.held, whole = {}, 0, false
  end
  if not whole then
    note_foreign(key)
    if r.held == 0 then
      take_out(ONLINE_SET, id)
      take_out(ONLINE, id)
    end
  end
  return r
end

local function forget_groups(r)
  if r.f.sg then call('HDEL', user_key(r.id), 'sg') end
  r.f.sg = nil
end

-- The newest proof of life of the holds and of those that were removed.
local function newest_proof(r)
  local newest = r.proof
  for _, h in pairs(r.holds) do newest = math.max(newest, h.proof) end
  return newest
end

-- Stores no field that is 0 or empty. Each field takes about 50 bytes per user.
local function keep(r)
  local set = { 'per', num(r.period), 'login', num(r.login), 'epoch', num(r.epoch), 'rec', r.recorded and '1' or '0' }
  local unset = {}
  local function field(name, value)
    if value == '0' or value == '' then
      unset[#unset + 1] = name
    else
      set[#set + 1] = name
      set[#set + 1] = value
    end
  end
  field('proof', num(r.proof))
  field('till', num(r.till))
  field('op', num(r.opened_at))
  field('ip', r.f.ip or '')
  field('name', r.f.name or '')
  if r.is_stored and #unset > 0 then call('HDEL', user_key(r.id), unpack(unset)) end
  call('HSET', user_key(r.id), unpack(set))
end
local function keep_hold(r, n, h)
  if not r.holds[n] then r.held = r.held + 1 end
  r.holds[n] = h
  call('HSET', user_key(r.id), 'h:' .. n, format_hold(h))
  put(node_key(n), r.id)
end
local function drop_hold(r, n)
  local h = r.holds[n]
  if h then
    r.proof = math.max(r.proof, h.proof)
    r.till = math.max(r.till, h.till)
    r.holds[n] = nil
    r.held = r.held - 1
  end
  call('HDEL', user_key(r.id), 'h:' .. n)
  take_out(node_key(n), r.id)
end

-- Writes the hash that readers of the Go server's keys know.
local function mirror(r)
  local key = mirror_key(r.id)
  call('HSET', key, 'playerId', r.id, 'loginTime', num(r.login), 'lastHeartbeat', num(newest_proof(r)), 'ip', r.f.ip or '', 'status', 'online')
  call('HDEL', key, 'logoutTime')
  call('PEXPIRE', key, MIRROR_TTL_MS)
end

-- Adds a change to the user's timeline. Going online or offline is also an entry of the feed (rule PR12).
local function change(r, event, cause, at, holder, note)
  local key = timeline_key(r.id)
  -- Ids rise, even if the clock steps back.
  local newest = whole_number(string.match(call('LINDEX', key, 0) or '', '^%d+') or '0') or 0
  local id = math.max(wall, newest + 1)
  local entry = format_entry({
    id = id, at_before = id - at, event = event, cause = cause, node = holder, epoch_before = id - r.epoch, note = note or '',
  })
  if call('LPUSH', key, entry) > TIMELINE_LENGTH then call('LTRIM', key, 0, TIMELINE_LENGTH - 1) end
  -- Once per user and script.
  if not r.is_kept then call('PEXPIRE', key, num(timeline_ttl)) end
  r.is_kept = true
  if event == 'online' or event == 'offline' then
    call('XADD', FEED, 'MAXLEN', '~', feed_length, '*', 'u', r.id, 'a', num(at), 't', event, 'c', cause, 'n', holder, 'e', num(r.epoch), 'p', num(r.period))
  end
end

local function show(r)
  put(ONLINE_SET, r.id)
  put(ONLINE, r.id)
  mirror(r)
end

-- How the last period of a user ended. The record may expire too soon: without this key, a socket that Redis had lost, or a
-- claim in mode `restate`, would bring the user back (rules PR7, PR9 and PR11). Readers do not get it.
local keeps_endings = last_seen_ttl < ENDING_KEPT_MS
local function keep_ending(r)
  if not keeps_endings then return end
  call('SET', ending_key(r.id), r.f.last)
  call('PEXPIRE', ending_key(r.id), ENDING_KEPT_MS)
end
-- The record says it, or the key. Nil if neither does.
local function last_of(r)
  if r.f.last or not keeps_endings then return r.f.last end
  local key = ending_key(r.id)
  local last = call('GET', key)
  if not last or is_last(last) then return last or nil end
  note_foreign(key)
  call('DEL', key)
  return nil
end

-- A record may expire. New epochs must still be higher than its own, even if the clock steps back meanwhile (rule PR3).
local function outlive(r)
  if r.epoch <= high then return end
  high = r.epoch
  call('HSET', WORLD, 'high', num(high))
end

-- Lets the record of a settled offline user expire.
local function expire_offline(r)
  outlive(r)
  call('PEXPIRE', user_key(r.id), num(math.max(1, last_seen_ttl, r.block - observed)))
end

-- Forgets a period that was not recorded. If SQL has an open row of it, the reconciler settles that row.
local function forget_opening(r)
  outlive(r)
  if not r.f.last and not r.f.un and r.block == 0 then
    call('DEL', user_key(r.id))
    r.f.tk = nil
  elseif not r.f.un then
    expire_offline(r)
  end
end

-- The periods whose duties wait, oldest first, separated by semicolons. Beyond the bound the oldest one is dropped; its duty stays.
local function with_unsettled(r)
  local all = r.f.un and split(r.f.un, ';') or {}
  all[#all + 1] = num(r.period)
  if #all > MAX_UNSETTLED then table.remove(all, 1) end
  r.f.un = table.concat(all, ';')
  return r.f.un
end
local function newest_unsettled(r) return r.f.un and string.match(r.f.un, '[^;]*$') or '' end

-- Ends the period and records the duty in one step (rule ST1).
local function end_period(r, reason, logout, holder, note)
  for n in pairs(r.holds) do drop_hold(r, n) end
  take_out(ONLINE_SET, r.id)
  take_out(ONLINE, r.id)
  local key = mirror_key(r.id)
  local login, proof, at = num(r.login), num(r.proof), num(logout)
  if last_seen_ttl == 0 then
    call('DEL', key)
  else
    call('HSET', key, 'playerId', r.id, 'loginTime', login, 'lastHeartbeat', proof, 'ip', r.f.ip or '', 'status', 'offline', 'logoutTime', at)
    call('PEXPIRE', key, last_seen_ttl)
  end
  r.recorded = false
  forget_groups(r)
  local ended = {
    user_id = r.id, period = r.period, epoch = r.epoch, login_time = r.login, last_heartbeat = r.proof, logout_time = logout, reason = reason,
  }
  r.f.last = format_last(ended)
  -- The other fields of the record do not change.
  call('HSET', user_key(r.id), 'rec', '0', 'proof', proof, 'till', num(r.till), 'last', r.f.last, 'un', with_unsettled(r))
  keep_ending(r)
  change(r, 'offline', reason, logout, holder, note)
  -- One field. Seven fields would be seven texts to read for each duty.
  local duty = format_duty({
    user_id = r.id, period = r.period, login_at = r.login, logout_at = logout, last_seen_at = r.proof, reason = reason, node = holder,
  })
  call('XADD', DUTIES, '*', 'd', duty)
  return format_ended(ended)
end

-- Removes one hold. If it was the last one, ends the period. Returns the end, or nil.
local function drop_or_end(r, n, reason)
  drop_hold(r, n)
  if r.held > 0 then
    call('HSET', user_key(r.id), 'proof', num(r.proof), 'till', num(r.till))
    change(r, 'released', reason, wall, n)
    return nil
  end
  if not r.recorded then
    forget_opening(r)
    return nil
  end
  -- If a claim was delayed, its proof seemed too new by that delay, and so did this end. But the end has passed already.
  r.proof = math.max(r.login, r.proof - math.max(0, r.till - wall))
  return end_period(r, reason, math.max(r.login, math.min(wall, r.till)), n)
end

-- The losses of other nodes by this script, each the list LOST, at the end of its answer. The caller sends them to these nodes at
-- once, and the next renewal of each node brings them too (rule PR4).
local lost = {}
local function lose(n, id, rev, reason, note)
  local loss = format_loss({ rev = rev, reason = reason, note = note or '' })
  call('HSET', lost_key(n), id, loss)
  for _, part in ipairs(lost_reply({ node = n, user_id = id, loss = loss })) do lost[#lost + 1] = part end
end
local function with_lost(answers)
  for _, part in ipairs(lost) do answers[#answers + 1] = part end
  return answers
end

-- Sends a frame to another node, numbered from this node to that one (rule DL7). Returns 1 if that node listens, otherwise 0.
local function post(to, fields)
  local sent = sent_key(node)
  local number = redis.pcall('HINCRBY', sent, to, 1)
  if type(number) ~= 'number' or number < 1 or number >= 2 ^ 53 then
    -- Another program put something else under this key. The numbers begin at 1 again.
    note_foreign(sent)
    redis.call('DEL', sent)
    number = redis.call('HINCRBY', sent, to, 1)
  end
  redis.call('PEXPIRE', sent, SENT_TTL_MS)
  local frame = '{"n":' .. num(number) .. ',"from":' .. cjson.encode(node) .. ',' .. fields .. '}'
  local heard = redis.pcall('PUBLISH', prefix .. 'lingxi:' .. settings[4] .. ':node:' .. to, frame)
  return type(heard) == 'number' and heard > 0 and 1 or 0
end
