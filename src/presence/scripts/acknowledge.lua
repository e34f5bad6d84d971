-- acknowledge: duties that are settled. Rules ST1, ST6.
-- ARGV[6] consumer group   ARGV[7…] stream id, user, period

for i = 7, #ARGV, 3 do
  local id, user, period = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  redis.pcall('XACK', DUTIES, ARGV[6], id)
  redis.call('XDEL', DUTIES, id)
  local r = load(user)
  if r.f.un == period then
    redis.call('HDEL', user_key(user), 'un')
    local ttl = math.max(last_seen_ttl, tonumber(r.f.block or 0) - observed)
    if r.held == 0 then redis.call('PEXPIRE', user_key(user), num(math.max(1, ttl))) end
  end
end
return 1
