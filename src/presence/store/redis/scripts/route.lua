-- route: sends each parcel to the nodes that hold its users with sockets. Changes no presence. Rules DL6, DL7.
-- ARGV[6…] parcels: id, users separated by commas (*: all users on every other node; #: on every other node the members of the
-- groups that the frame names), members of the frame as JSON text
-- Answers an array for each parcel: the list ROUTED; the list ROUTED_NODE for each node; then a text for each user: empty if
-- offline, - if online without a socket on another node, otherwise the positions of the nodes in this answer, from 1, separated
-- by commas

local answers = {}

-- Sends the members of a frame to one node, and answers what became of it.
local function send(n, members, users)
  return routed_node_reply({ node = n, is_listening = post(n, members), users = users })
end

local function answer_of(routed, whereabouts)
  local answer = routed_reply({ node_count = #routed })
  for _, reply in ipairs(routed) do
    for _, field in ipairs(reply) do answer[#answer + 1] = field end
  end
  for _, text in ipairs(whereabouts) do answer[#answer + 1] = text end
  return answer
end

-- Sends to each other node that has renewed.
local function route_to_all(id, fields)
  local routed = {}
  for _, n in ipairs(call('HKEYS', NODES)) do
    if n ~= node and node_entry(n) then
      routed[#routed + 1] = send(n, '"id":' .. cjson.encode(id) .. ',' .. fields, call('SCARD', node_key(n)))
    end
  end
  return answer_of(routed, {})
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
  local routed = {}
  for i, n in ipairs(names) do
    local members = '"id":' .. cjson.encode(id) .. ',"users":[' .. table.concat(named[n], ',') .. '],' .. fields
    routed[i] = send(n, members, #named[n])
  end
  return answer_of(routed, whereabouts)
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
