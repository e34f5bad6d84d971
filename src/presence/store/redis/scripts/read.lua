-- read: the records of users. Changes nothing. Rule PR13.
-- ARGV[6…] users. Answers the list USER for each. Sockets elsewhere are those on other nodes than the calling one.

local answers = {}
for i = 6, #ARGV do
  local r = load(ARGV[i])
  local sockets, elsewhere = 0, 0
  for n, h in pairs(r.holds) do
    sockets = sockets + h.sockets
    if n ~= node then elsewhere = elsewhere + h.sockets end
  end
  answers[#answers + 1] = user_reply({
    period = num(r.period), login_time = num(r.login), epoch = num(r.epoch), recorded = r.recorded and 1 or 0, holders = r.held,
    sockets = sockets, proof = num(newest_proof(r)), username = r.f.name or '', ip = r.f.ip or '', last = r.f.last or '',
    unsettled = r.f.un or '', sockets_elsewhere = elsewhere,
    block_left_ms = math.max(0, r.block - observed),
  })
end
return answers
