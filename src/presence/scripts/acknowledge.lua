-- acknowledge: duties that are settled. Rules ST1, ST6.
-- ARGV[6…] stream id, user, period

for i = 6, #ARGV, 3 do
  local id, user, period = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  -- After a rollback another duty may bear the id.
  local found = call('XRANGE', DUTIES, id, id)[1]
  local f = found and found[2] or {}
  local other = f[1] == 'u' and user ~= '0' and (f[2] ~= user or f[4] ~= period)
  if not other then
    redis.pcall('XACK', DUTIES, GROUP, id)
    call('XDEL', DUTIES, id)
  end
  local r = load(user)
  local left, waited = {}, false
  for _, waiting in ipairs(split(r.f.un or '', ';')) do
    if waiting == period then waited = true elseif waiting ~= '' then left[#left + 1] = waiting end
  end
  if waited and #left > 0 then
    call('HSET', user_key(user), 'un', table.concat(left, ';'))
  elseif waited then
    call('HDEL', user_key(user), 'un')
    if r.held == 0 then expire_offline(r) end
  end
end
return 1
