-- nodes: the nodes, for the operator. Changes nothing. Rules PR8, DR1.
-- Answers the list SEEN_NODE for each node

local answers = {}

local function add(n, age, sign)
  local announced = redis.pcall('GET', prefix .. 'lingxi:i:' .. n)
  answers[#answers + 1] = seen_node_reply({
    node = n, age_ms = age, sign = sign, users = call('SCARD', node_key(n)),
    announced = type(announced) == 'string' and announced or '',
  })
end

for _, n in ipairs(call('HKEYS', NODES)) do
  local entry = node_entry(n)
  if entry then add(n, math.max(0, observed - entry.seen), entry.lease == '' and '' or num(entry.seen)) end
end
for _, n in ipairs(call('HKEYS', DEAD)) do add(n, -1, '') end
return answers
