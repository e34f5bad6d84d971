-- end: logout and kick. Rules PR6, PR7, ST1.
-- ARGV[6…] user, reason, epoch (0: any), blockMs, age of the newest proof (-1: unknown)
-- Answers one text for each: ended,user,period,epoch,login,logout,reason | superseded | not-online | young | no-lease

local answers = {}
local valid = has_lease()

local function take(id, reason, epoch, block_ms, proof_age)
  if not valid then return 'no-lease' end
  if is_young() then return 'young' end
  local r = load(id)
  if block_ms > 0 then
    r.block = observed + block_ms
    call('HSET', user_key(id), 'block', num(r.block))
    if r.held == 0 and not r.f.un then call('PEXPIRE', user_key(id), math.max(block_ms, last_seen_ttl)) end
  end
  if r.held == 0 then return 'not-online' end
  if not r.recorded then return 'young' end
  if epoch > 0 and epoch < r.epoch then return 'superseded' end
  r.proof = newest_proof(r)
  if proof_age >= 0 then r.proof = math.max(r.proof, wall - proof_age) end
  local holder = ''
  for n, h in pairs(r.holds) do
    holder = n
    if n ~= node then lose(n, id, h.rev, reason) end
  end
  return 'ended,' .. end_period(r, reason, math.max(r.login, wall), holder)
end

for i = 6, #ARGV, 5 do
  answers[#answers + 1] = take(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]))
end
return answers
