-- knows: whether periods run, or wait for SQL; changes nothing. Rule ST4.
-- ARGV[6…] user, period. Answers 1 or 0 for each.

local answers = {}
for i = 6, #ARGV, 2 do
  local r, period = load(ARGV[i]), ARGV[i + 1]
  local known = r.held > 0 and num(r.period) == period
  for _, waiting in ipairs(not known and r.f.un and split(r.f.un, ';') or {}) do known = known or waiting == period end
  answers[#answers + 1] = known and 1 or 0
end
return answers
