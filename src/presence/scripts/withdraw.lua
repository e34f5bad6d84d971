-- withdraw: opened periods that could not be written to SQL, as if they had never been. Rule ST9.
-- ARGV[6…] user, period

for i = 6, #ARGV, 2 do
  local r = load(ARGV[i])
  if r.period == tonumber(ARGV[i + 1]) and not r.recorded then
    for n in pairs(r.holds) do drop_hold(r, n) end
    forget_opening(r)
  end
end
return 1
