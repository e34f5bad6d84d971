-- groups: the service adds users to a group, and removes users. Rules GR1, GR3.
-- ARGV[6] group   ARGV[7] largest number of groups of a user   ARGV[8] users to add   ARGV[9] users to remove, each separated by commas
-- Answers one text for each user, first for those to add: member, removed, offline, full, young or no-lease. After a change the
-- list GROUP_STEP follows. The other nodes that hold these users get a frame.

local group, max = ARGV[6], tonumber(ARGV[7])
local answers, notices = {}, {}
local valid = has_lease()

local function without(text, name)
  local kept = {}
  for _, other in ipairs(split(text, ';')) do
    if other ~= name then kept[#kept + 1] = other end
  end
  return table.concat(kept, ';')
end

local function notify(r, step, is_added)
  local notice = '[' .. r.id .. ',' .. table.concat({ num(step.period), num(step.before), num(step.version) }, ',') .. ',' .. is_added .. ']'
  for n in pairs(r.holds) do
    if n ~= node then
      notices[n] = notices[n] or {}
      notices[n][#notices[n] + 1] = notice
    end
  end
end

local function take(id, is_added)
  if not valid then return 'no-lease' end
  if is_young() then return 'young' end
  local r = load(id)
  if r.held == 0 or not r.recorded then return 'offline' end
  local version, names = string.match(r.f.sg or '0', '^(%d+)(.*)$')
  local is_given = string.find(names .. ';', ';' .. group .. ';', 1, true) ~= nil
  local by_token = false
  for _, h in pairs(r.holds) do
    by_token = by_token or string.find(';' .. h.token_groups .. ';', ';' .. group .. ';', 1, true) ~= nil
  end
  local kind = (is_added or by_token) and 'member' or 'removed'
  if is_given == is_added then return kind end
  if is_added and not by_token then
    local _, count = groups_in(groups_text(r))
    if count >= max then return 'full' end
  end
  watch_groups(r)
  local before = tonumber(version)
  local step = { period = r.period, before = before, version = math.max(wall, before + 1) }
  r.f.sg = num(step.version) .. (is_added and names .. ';' .. group or without(names, group))
  call('HSET', user_key(r.id), 'sg', r.f.sg)
  notify(r, step, is_added and 1 or 0)
  return kind .. ',' .. format_group_step(step)
end

for place, is_added in ipairs({ true, false }) do
  for id in string.gmatch(ARGV[7 + place], '%d+') do answers[#answers + 1] = take(id, is_added) end
end
for n, users in pairs(notices) do
  post(n, '"kind":"group","group":' .. cjson.encode(group) .. ',"users":[' .. table.concat(users, ',') .. ']')
end
return answers
