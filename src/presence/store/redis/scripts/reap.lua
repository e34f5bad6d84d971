-- reap: ends the holds of dead nodes, and the periods that no other node holds. Also forgets the numbers of the frames that this
-- node sent to them. Rules PR8, DL7.
-- ARGV[6] silence in ms after which a node is dead   ARGV[7] largest number of users to look at
-- Answers the list REAPED, then the periods that ended, each the list ENDED. The list says:
--   orphans: number of users of dead nodes that are left
--   nextDeathMs: time until the next node is dead unless it gives a sign of life before

if not has_lease() or is_young(true) then return reaped_reply({ orphans = 0, next_death_ms = -1 }) end
local silence, limit = tonumber(ARGV[6]), tonumber(ARGV[7])
local LOST_TTL_MS = 3600000
local MAX_REQUEUED = 500

-- Gives the duties that a dead node had taken to the next node that takes duties, whatever their age. Returns their number.
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

-- A dead node loses its lease at once and for good. Its holds end when their own deadlines pass.
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

-- A dead incarnation does not come back. If it was only frozen, its numbers begin at 1 again.
for _, to in ipairs(call('HKEYS', sent_key(node))) do
  if not living[to] then call('HDEL', sent_key(node), to) end
end

local ends, orphans = {}, 0
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
        if ended then ends[#ends + 1] = ended end
      end
    end
  end
  settle_members()
  local users = call('SCARD', node_key(n))
  if requeue(n) == 0 and users == 0 then
    call('HDEL', DEAD, n)
    -- The node may only be frozen. It must still get its losses when it thaws.
    call('PEXPIRE', lost_key(n), LOST_TTL_MS)
  end
  orphans = orphans + users
end
local answer = reaped_reply({ orphans = orphans, next_death_ms = next_death })
for _, ended in ipairs(ends) do answer[#answer + 1] = ended end
return answer
