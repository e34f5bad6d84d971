-- read: what is known of users; changes nothing. Rule PR13.
-- ARGV[6…] users. Answers for each: period, login, epoch, recorded (0/1), held nodes, sockets, proof, name, ip, last, unsettled,
-- sockets on other nodes than the one that asks

local answers = {}
for i = 6, #ARGV do
  local r = load(ARGV[i])
  local sockets, elsewhere = 0, 0
  for n, h in pairs(r.holds) do
    sockets = sockets + h.sockets
    if n ~= node then elsewhere = elsewhere + h.sockets end
  end
  answers[#answers + 1] = { num(r.period), num(r.login), num(r.epoch), r.recorded and 1 or 0, r.held, sockets, num(newest_proof(r)), r.f.name or '', r.f.ip or '', r.f.last or '', r.f.un or '', elsewhere }
end
return answers
