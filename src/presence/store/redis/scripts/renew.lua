-- renew: the only giver of leases; a node's sign of life. Rules PR8, PR11.
-- ARGV[6] highest epoch known to the node
-- ARGV[7] the world in which the node has restated everything, * if it had nothing to restate, else empty
-- ARGV[8] generation of the newest world that the node has lived in, 0 where none
-- ARGV[9…] acknowledged losses: user, rev
-- Answers: restore (0/1), users online, the name of this world, number of foreign values found, their keys, then losses:
-- user, rev|reason

-- Leases are numbered by connection. What an older one had sent and Redis had not read must not bring its lease back.
local before = node_entry(node)
if before and (tonumber(before.lease) or 0) > tonumber(lease) then
  return redis.error_reply('STALE this node has renewed on a newer connection')
end

-- Rises with each new world, on any Redis.
local generation, lived = tonumber(call('HGET', WORLD, 'gen')) or 0, tonumber(ARGV[8])
if not known_world or world[4] ~= run_id or generation < lived then
  -- Another Redis than the one that gave the leases (restart, failover, wipe), or one that was left for another and
  -- leads again with what it had then: everybody states anew what it holds.
  -- A node that does not come back is as dead as any other: its holds outlived it in what Redis saved.
  local nodes = call('HKEYS', NODES)
  for _, n in ipairs(nodes) do keep_node(n, { lease = '', seen = observed, restored = '0' }) end
  world_start = observed
  generation = math.max(generation, lived) + 1
  call('HSET', WORLD, 'run', run_id, 'start', num(world_start), 'gen', num(generation))
end
keep_clock()
high = math.max(high, tonumber(ARGV[6]))
call('HSET', WORLD, 'high', num(high))

local entry = node_entry(node) or { restored = '0' }
entry.lease = lease
entry.seen = observed
-- What was restated in a world that was lost meanwhile counts for nothing in this one.
local this_world = run_id .. ':' .. num(world_start) .. ':' .. num(generation)
if ARGV[7] == '*' or ARGV[7] == this_world then entry.restored = '1' end
keep_node(node, entry)
call('HDEL', DEAD, node)

local lost = lost_key(node)
for i = 9, #ARGV, 2 do
  local waiting = call('HGET', lost, ARGV[i])
  if waiting and split(waiting, '|')[1] == ARGV[i + 1] then call('HDEL', lost, ARGV[i]) end
end

call('PERSIST', lost)
local foreign = call('LRANGE', FOREIGN, 0, -1)
if #foreign > 0 then call('DEL', FOREIGN) end
local answer = { entry.restored == '1' and 0 or 1, call('ZCARD', ONLINE), this_world, #foreign }
for _, key in ipairs(foreign) do answer[#answer + 1] = key end
local losses = call('HGETALL', lost)
for i = 1, #losses, 2 do
  if tonumber(split(losses[i + 1], '|')[1]) then
    answer[#answer + 1] = losses[i]
    answer[#answer + 1] = losses[i + 1]
  else
    note_foreign(lost)
    call('HDEL', lost, losses[i])
  end
end
return answer
