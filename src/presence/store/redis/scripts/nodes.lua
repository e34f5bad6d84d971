-- nodes: who takes part, for the operator; changes nothing. Rules PR8, DR1.
-- Answers for each node: name, age in ms of its last sign of life (-1: it lost its lease for good), the observed time of
-- that sign (empty where it renewed no lease in this world), users that it holds, what it announced of itself

local answers = {}

local function add(n, age, sign)
  local announced = redis.pcall('GET', prefix .. 'lingxi:i:' .. n)
  answers[#answers + 1] = { n, age, sign, call('SCARD', node_key(n)), type(announced) == 'string' and announced or '' }
end

for _, n in ipairs(call('HKEYS', NODES)) do
  local entry = node_entry(n)
  if entry then add(n, math.max(0, observed - entry.seen), entry.lease == '' and '' or num(entry.seen)) end
end
for _, n in ipairs(call('HKEYS', DEAD)) do add(n, -1, '') end
return answers
