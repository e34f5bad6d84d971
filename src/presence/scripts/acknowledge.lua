-- acknowledge: duties that are settled. Rules ST1, ST6.
-- ARGV[6] consumer group   ARGV[7…] stream id, user, period

for i = 7, #ARGV, 3 do
  local id, user, period = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  redis.pcall('XACK', DUTIES, ARGV[6], id)
  redis.call('XDEL', DUTIES, id)
  local r = load(user)
  if r.f.un == period then
    redis.call('HDEL', user_key(user), 'un')
    if r.held == 0 then expire_offline(r) end
  end
end
return 1
