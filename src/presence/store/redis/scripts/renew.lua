-- renew: gives the node a lease; no other script does. A sign of life. Rules PR8, PR11.
-- ARGV[6…] the list RENEWAL:
--   highestEpoch: the highest epoch that the node knows
--   restoredIn: the world in which the node has claimed all its holds; * if it had none; empty if it has not restored
--   generation: of the newest world that the node has seen, 0 if it has seen none
-- Then the acknowledged losses, each the list ACKNOWLEDGED
-- Answers the list RENEWED, the foreign keys, then the losses of the node: user and the list LOSS by turns

local asked = read_renewal(6)

-- A lease is the number of a connection. A late renewal of an older connection must not bring back the lease of that connection.
local before = node_entry(node)
if before and (tonumber(before.lease) or 0) > tonumber(lease) then
  return redis.error_reply('STALE this node has renewed on a newer connection')
end

-- Rises with each new world, on any Redis.
local gen = call('HGET', WORLD, 'gen')
local generation, lived = whole_number(gen) or 0, asked.generation
-- Another program has written into its fields.
local is_foreign = not known_world and (world[1] or world[2] or world[5])
for _, number in ipairs({ world[3], gen }) do is_foreign = is_foreign or number and not whole_number(number) end
if is_foreign then note_foreign(WORLD) end
if not known_world or world[4] ~= run_id or generation < lived then
  -- This is not the Redis that gave the leases (restart, failover, wipe), or it is one that an earlier failover had replaced. Every
  -- node claims its holds again. A node that does not come back will be dead like any other, and reap ends its holds.
  local nodes = call('HKEYS', NODES)
  for _, n in ipairs(nodes) do keep_node(n, { lease = '', seen = observed, restored = '0' }) end
  world_start = observed
  generation = math.max(generation, lived) + 1
  call('HSET', WORLD, 'run', run_id, 'start', num(world_start), 'gen', num(generation))
end
keep_clock()
high = math.max(high, asked.highest_epoch)
call('HSET', WORLD, 'high', num(high))

local entry = node_entry(node) or { restored = '0' }
entry.lease = lease
entry.seen = observed
-- Claims that the node repeated in an earlier world do not count in this one.
local this_world = run_id .. ':' .. num(world_start) .. ':' .. num(generation)
if asked.restored_in == '*' or asked.restored_in == this_world then entry.restored = '1' end
keep_node(node, entry)
call('HDEL', DEAD, node)

local lost = lost_key(node)
for i = 6 + RENEWAL_WIDTH, #ARGV, ACKNOWLEDGED_WIDTH do
  local acknowledged = read_acknowledged(i)
  local waiting = call('HGET', lost, acknowledged.user_id)
  if waiting and split(waiting, '|')[LOSS.rev] == acknowledged.rev then call('HDEL', lost, acknowledged.user_id) end
end

call('PERSIST', lost)
local foreign = call('LRANGE', FOREIGN, 0, -1)
if #foreign > 0 then call('DEL', FOREIGN) end
local answer = renewed_reply({
  restore = entry.restored == '1' and 0 or 1, online_count = call('ZCARD', ONLINE), world = this_world, foreign_count = #foreign,
})
for _, key in ipairs(foreign) do answer[#answer + 1] = key end
local losses = call('HGETALL', lost)
for i = 1, #losses, 2 do
  if tonumber(split(losses[i + 1], '|')[LOSS.rev]) then
    answer[#answer + 1] = losses[i]
    answer[#answer + 1] = losses[i + 1]
  else
    note_foreign(lost)
    call('HDEL', lost, losses[i])
  end
end
return answer
