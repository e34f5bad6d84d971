-- record: makes opened periods visible once SQL has their rows. Rules PR12, ST4, ST9.
-- ARGV[6…] the list PERIOD. Answers 1 or 0 for each: whether this node still holds the period.

local answers = {}
local valid = has_lease()
for i = 6, #ARGV, PERIOD_WIDTH do
  local asked = read_period(i)
  local r = load(asked.user_id)
  local held = valid and r.holds[node] ~= nil and r.period == asked.period
  if held and not r.recorded then change(r, 'online', 'login', r.login, node) end
  if held then
    r.recorded = true
    call('HSET', user_key(r.id), 'rec', '1')
    show(r)
  end
  answers[#answers + 1] = held and 1 or 0
end
return answers
