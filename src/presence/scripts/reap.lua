-- reap: ends what dead nodes held and nobody else holds. Rule PR8.
-- ARGV[6] silence in ms after which a node is dead   ARGV[7] users looked at, at most
-- Answers: users of dead nodes that are left, then the ends: user,period,epoch,login,logout,reason

if not has_lease() or is_young() then return { 0 } end
local silence, limit = tonumber(ARGV[6]), tonumber(ARGV[7])

-- A node loses its lease at once and for good; its holds go as their own deadlines pass.
local nodes = redis.call('HGETALL', NODES)
for i = 1, #nodes, 2 do
  local entry = node_entry(nodes[i])
  if entry and observed - entry.seen >= silence then
    redis.call('HDEL', NODES, nodes[i])
    redis.call('HSET', DEAD, nodes[i], '0')
  end
end

local answer = { 0 }
local left = 0
local dead = redis.call('HGETALL', DEAD)
for i = 1, #dead, 2 do
  local n, cursor = dead[i], dead[i + 1]
  if limit > 0 then
    local page = redis.call('SSCAN', node_key(n), cursor, 'COUNT', limit)
    redis.call('HSET', DEAD, n, page[1])
    for _, id in ipairs(page[2]) do
      limit = limit - 1
      local r = load(id)
      local h = r.holds[n]
      if not h then
        redis.call('SREM', node_key(n), id)
      elseif h.socket_until <= observed and h.http_until <= observed then
        local ended = drop_or_end(r, n, 'node-lost')
        if ended then answer[#answer + 1] = ended end
      end
    end
  end
  local users = redis.call('SCARD', node_key(n))
  if users == 0 then
    redis.call('HDEL', DEAD, n)
    redis.call('DEL', lost_key(n))
  end
  left = left + users
end
answer[1] = left
return answer
