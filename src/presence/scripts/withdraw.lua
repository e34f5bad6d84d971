-- withdraw: opened periods that this node could not write to SQL, as if they had never been. Rule ST9. Another node
-- that has taken the opening up keeps it.
-- ARGV[6…] user, period

for i = 6, #ARGV, 2 do
  local r = load(ARGV[i])
  if r.period == tonumber(ARGV[i + 1]) and not r.recorded then
    if r.holds[node] then
      drop_hold(r, node)
      if r.held == 0 then forget_opening(r) end
    end
  end
end
return 1
