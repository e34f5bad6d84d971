-- record: opened periods that now stand in SQL become visible. Rules PR12, ST4, ST9.
-- ARGV[6…] user, period. Answers 1 or 0 for each: whether this node still holds the period.

local answers = {}
local valid = has_lease()
for i = 6, #ARGV, 2 do
  local r = load(ARGV[i])
  local held = valid and r.holds[node] ~= nil and r.period == tonumber(ARGV[i + 1])
  if held and not r.recorded then change(r, 'online', 'login', r.login, node) end
  if held then
    r.recorded = true
    call('HSET', user_key(r.id), 'rec', '1')
    show(r)
  end
  answers[#answers + 1] = held and 1 or 0
end
return answers
