-- acknowledge: SQL has these settlements. Rules ST1, ST6.
-- ARGV[6] a JSON array of arrays, each the list SETTLED

-- The usual case: the user's only duty is of the period that ended last, and no newer period runs. Reads a few fields only.
local function forget_newest(user, period)
  local key = user_key(user)
  local f = call('HMGET', key, 'un', 'last', 'per', 'epoch', 'block')
  local epoch, block = whole_number(f[4] or ''), whole_number(f[5] or '0')
  if f[1] ~= period or f[3] ~= period or not f[2] or not is_last(f[2]) or not epoch or not block then return false end
  if split(f[2], '|')[LAST.period] ~= period then return false end
  call('HDEL', key, 'un')
  expire_offline({ id = user, epoch = epoch, block = block })
  return true
end

local function forget(user, period)
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

local function is_of(entry, user, period)
  local duty = split(entry, '|')
  return duty[DUTY.user_id] == user and duty[DUTY.period] == period
end

local done = {}
for _, fields in ipairs(cjson.decode(ARGV[6])) do
  local settled = read_settled(fields)
  local id, user, period = settled.id, settled.user_id, settled.period
  -- After a failover another duty may have this id.
  local found = call('XRANGE', DUTIES, id, id)[1]
  local f = found and found[2] or {}
  local other = f[1] == 'd' and user ~= '0' and not is_of(f[2], user, period)
  if not other then done[#done + 1] = id end
  if not forget_newest(user, period) then forget(user, period) end
end
if #done > 0 then
  pcall('XACK', DUTIES, GROUP, unpack(done))
  call('XDEL', DUTIES, unpack(done))
end
return 1
