-- end: logout and kick. Rules PR6, PR7, ST1.
-- ARGV[6…] the list END_REQUEST: epoch 0 is any, blockMs 0 lifts and -1 leaves a block, proofAgeMs -1 is unknown
-- Answers one text for each: ended with the list ENDED, superseded, not-online, young or no-lease. Then the losses of other
-- nodes, each the list LOST

local answers = {}
local valid = has_lease()

-- Refuses logins for block_ms. 0 lifts the block, and drops a record that only the block needed.
local function set_block(r, block_ms)
  r.block = block_ms > 0 and observed + block_ms or 0
  if block_ms > 0 then call('HSET', user_key(r.id), 'block', num(r.block)) else call('HDEL', user_key(r.id), 'block') end
  if r.held == 0 then forget_opening(r) end
end

local function take(id, reason, epoch, block_ms, proof_age, note)
  if not valid then return 'no-lease' end
  if is_young() then return 'young' end
  local r = load(id)
  -- A user with a newer connection than the named one keeps it.
  if r.held > 0 and r.recorded and epoch > 0 and epoch < r.epoch then return 'superseded' end
  if block_ms >= 0 then set_block(r, block_ms) end
  if r.held == 0 then return 'not-online' end
  if not r.recorded then return 'young' end
  r.proof = newest_proof(r)
  if proof_age >= 0 then r.proof = math.max(r.proof, wall - proof_age) end
  local holder = ''
  for n, h in pairs(r.holds) do
    holder = n
    if n ~= node then lose(n, id, h.rev, reason, note) end
  end
  return 'ended,' .. end_period(r, reason, math.max(r.login, wall), holder, note)
end

for i = 6, #ARGV, END_REQUEST_WIDTH do
  local asked = read_end_request(i)
  answers[#answers + 1] = take(asked.user_id, asked.reason, asked.epoch, asked.block_ms, asked.proof_age_ms, asked.note)
end
return with_lost(answers)
