-- withdraw: opened periods that this node could not write to SQL, as if they had never been. Rule ST9. Another node
-- that has taken the opening up keeps it.
-- ARGV[6…] user, period. Answers how many of them this node still holds: another has recorded the period meanwhile.

if not has_lease() then return redis.error_reply('STALE no lease') end
local left = 0
for i = 6, #ARGV, 2 do
  local r = load(ARGV[i])
  if r.period == tonumber(ARGV[i + 1]) and r.holds[node] then
    if r.recorded then
      left = left + 1
    else
      drop_hold(r, node)
      if r.held == 0 then forget_opening(r) end
    end
  end
end
return left
