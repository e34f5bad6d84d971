-- withdraw: drops opened periods that this node could not write to SQL. Rule ST9. If another node continued the opening, that node
-- keeps it.
-- ARGV[6…] the list PERIOD. Answers the number of periods that this node still holds, because another node has recorded them.

if not has_lease() then return redis.error_reply('STALE no lease') end
local left = 0
for i = 6, #ARGV, PERIOD_WIDTH do
  local asked = read_period(i)
  local r = load(asked.user_id)
  if r.period == asked.period and r.holds[node] then
    if r.recorded then
      left = left + 1
    else
      drop_hold(r, node)
      if r.held == 0 then forget_opening(r) end
    end
  end
end
return left
