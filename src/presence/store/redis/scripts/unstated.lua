-- unstated: users that the store holds for this node by claims up to a revision. After a complete restore, these are users that
-- the node does not know, because a failover brought them back (rule PR11).
-- ARGV[6] rev   ARGV[7] cursor   ARGV[8] approximate number of users to look at
-- Answers the next cursor (0: the end), then the users.

if not has_lease() then return { '0' } end
local page = call('SSCAN', node_key(node), ARGV[7], 'COUNT', ARGV[8])
local answer = { page[1] }
for _, id in ipairs(page[2]) do
  local h = load(id).holds[node]
  if not h then
    take_out(node_key(node), id)
  elseif h.rev <= tonumber(ARGV[6]) then
    answer[#answer + 1] = id
  end
end
return answer
