-- reap: ends what dead nodes held and nobody else holds, and forgets how many frames this node sent to them. Rules PR8, DL7.
-- ARGV[6] silence in ms after which a node is dead   ARGV[7] users looked at, at most
-- Answers: users of dead nodes that are left; in how many ms the next node is dead unless it is heard of before, -1 where
-- nothing can tell; then the ends, each the list ENDED

if not has_lease() or is_young(true) then return { 0, -1 } end
local silence, limit = tonumber(ARGV[6]), tonumber(ARGV[7])
local LOST_TTL_MS = 3600000
local MAX_REQUEUED = 500

-- The duties that a dead node had in hand go to whoever settles next, whatever the clock says of their age.
-- Answers how many there were.
local function requeue(n)
  local pending = redis.pcall('XPENDING', DUTIES, GROUP, '-', '+', MAX_REQUEUED, n)
  if pending.err then return 0 end
  for _, entry in ipairs(pending) do
    local found = call('XRANGE', DUTIES, entry[1], entry[1])[1]
    if found then call('XADD', DUTIES, '*', unpack(found[2])) end
    call('XACK', DUTIES, GROUP, entry[1])
    call('XDEL', DUTIES, entry[1])
  end
  if #pending == 0 then redis.pcall('XGROUP', 'DELCONSUMER', DUTIES, GROUP, n) end
  return #pending
end

-- A node loses its lease at once and for good; its holds go as their own deadlines pass.
local nodes = call('HGETALL', NODES)
local next_death = -1
local living = {}
for i = 1, #nodes, 2 do
  local entry = node_entry(nodes[i])
  if not entry then
    note_foreign(NODES)
    call('HDEL', NODES, nodes[i])
  elseif observed - entry.seen >= silence then
    call('HDEL', NODES, nodes[i])
    call('HSET', DEAD, nodes[i], '0')
  else
    living[nodes[i]] = true
    local rest = silence - (observed - entry.seen)
    if next_death < 0 or rest < next_death then next_death = rest end
  end
end

-- An incarnation that is gone never comes back. For one that was only frozen the numbers begin anew.
for _, to in ipairs(call('HKEYS', sent_key(node))) do
  if not living[to] then call('HDEL', sent_key(node), to) end
end

local answer = { 0, next_death }
local left = 0
local dead = call('HGETALL', DEAD)
for i = 1, #dead, 2 do
  local n, cursor = dead[i], dead[i + 1]
  if limit > 0 then
    local page = call('SSCAN', node_key(n), #cursor < 20 and string.match(cursor, '^%d+$') or '0', 'COUNT', limit)
    call('HSET', DEAD, n, page[1])
    for _, id in ipairs(page[2]) do
      limit = limit - 1
      local r = load(id)
      local h = r.holds[n]
      if not h then
        take_out(node_key(n), id)
      elseif h.socket_until <= observed and h.http_until <= observed then
        local ended = drop_or_end(r, n, 'node-lost')
        if ended then answer[#answer + 1] = ended end
      end
    end
  end
  settle_members()
  local users = call('SCARD', node_key(n))
  if requeue(n) == 0 and users == 0 then
    call('HDEL', DEAD, n)
    -- It may only be frozen: what it lost it must hear when it thaws.
    call('PEXPIRE', lost_key(n), LOST_TTL_MS)
  end
  left = left + users
end
answer[1] = left
return answer
