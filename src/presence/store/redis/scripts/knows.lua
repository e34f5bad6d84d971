-- knows: whether each period runs, or its duty waits. Changes nothing. Rule ST4.
-- ARGV[6…] the list PERIOD. Answers 1 or 0 for each.

local answers = {}
for i = 6, #ARGV, PERIOD_WIDTH do
  local asked = read_period(i)
  local r = load(asked.user_id)
  local known = r.held > 0 and r.period == asked.period
  for _, waiting in ipairs(not known and r.f.un and split(r.f.un, ';') or {}) do
    known = known or tonumber(waiting) == asked.period
  end
  answers[#answers + 1] = known and 1 or 0
end
return answers
