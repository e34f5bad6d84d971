-- route: finds the nodes that hold users with sockets, and hands each of them the parcel; changes no presence. Rules DL6, DL7.
-- ARGV[6…] parcels: id, users apart by commas (*: everybody on every other node; #: the members of the groups that the frame
-- names, on every other node), members of the frame as JSON text
-- Answers for each parcel an array: number of nodes; for each of them its name, whether somebody listens there (0/1) and for
-- how many users it is; then for each user a text: empty where offline, - where online without a socket elsewhere, else the
-- places of the nodes in this answer, from 1, apart by commas

local answers = {}

-- Everybody, or members of groups: each node that has renewed, but the one that asks.
local function route_to_all(id, fields)
  local answer = { 0 }
  for _, n in ipairs(call('HKEYS', NODES)) do
    if n ~= node and node_entry(n) then
      answer[1] = answer[1] + 1
      answer[#answer + 1] = n
      answer[#answer + 1] = post(n, '"id":' .. cjson.encode(id) .. ',' .. fields)
      answer[#answer + 1] = call('SCARD', node_key(n))
    end
  end
  return answer
end

local function route(id, users, fields)
  local names, places, named, whereabouts = {}, {}, {}, {}
  for i, user in ipairs(split(users, ',')) do
    local r = load(user)
    local found = {}
    if r.held > 0 and r.recorded then
      for n, h in pairs(r.holds) do
        if n ~= node and h.sockets > 0 then
          if not places[n] then
            names[#names + 1] = n
            places[n] = #names
            named[n] = {}
          end
          named[n][#named[n] + 1] = '[' .. user .. ',' .. num(whole_number(h.epoch) or 0) .. ']'
          found[#found + 1] = places[n]
        end
      end
      whereabouts[i] = #found > 0 and table.concat(found, ',') or '-'
    else
      whereabouts[i] = ''
    end
  end
  local answer = { #names }
  for _, n in ipairs(names) do
    answer[#answer + 1] = n
    answer[#answer + 1] = post(n, '"id":' .. cjson.encode(id) .. ',"users":[' .. table.concat(named[n], ',') .. '],' .. fields)
    answer[#answer + 1] = #named[n]
  end
  for _, text in ipairs(whereabouts) do answer[#answer + 1] = text end
  return answer
end

for i = 6, #ARGV, 3 do
  local id, users, fields = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if users == '*' then
    answers[#answers + 1] = route_to_all(id, '"all":true,' .. fields)
  elseif users == '#' then
    answers[#answers + 1] = route_to_all(id, fields)
  else
    answers[#answers + 1] = route(id, users, fields)
  end
end
return answers
