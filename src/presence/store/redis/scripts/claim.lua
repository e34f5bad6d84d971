-- claim: a node claims what it holds of each user. Rules PR1–PR7, HB1.
-- ARGV[6] session policy   ARGV[7] LINGXI_MAX_CONNECTIONS_PER_USER   ARGV[9] remaining time of a responsive socket's deadline, ms
-- ARGV[8] the claims: a JSON array of arrays, each the list CLAIM
-- Answers one text for each claim: its kind, after opened or joined the list ACCEPTED, after ended the list ENDED. Then the
-- losses of other nodes, each the list LOST

local OPENING_MS = 1500
local MAX_TAKEOVERS, FLAPPING_WINDOW_MS, RESPONSIVE_MS = 5, 60000, 3000
local policy, max_connections, responsive_left = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[9])
local claims = cjson.decode(ARGV[8])
local answers = {}

if not has_lease() then
  for i = 1, #claims do answers[i] = 'no-lease' end
  return answers
end

-- A node that has not restored yet could open a second period beside the one that it still holds.
local unrestored = node_entry(node).restored ~= '1'

local function is_holding(c) return c.sockets > 0 or c.socket_ms > 0 or c.http_ms > 0 end
local function deadline(ms) return ms > 0 and observed + ms or 0 end

local function apply(h, c)
  h.rev = c.rev
  h.sockets = c.sockets
  h.socket_until = deadline(c.socket_ms)
  h.http_until = deadline(c.http_ms)
  -- These groups last while a connection with the token lives (rule GR1).
  h.token_groups = c.sockets > 0 and c.token_groups or ''
  -- If the node knows no proof, as after a failover, the proofs in the store stay.
  if c.proof_mark == '' then
    h.proof, h.till, h.mark = h.proof or 0, h.till or 0, h.mark or ''
    return
  end
  local proof, till = math.max(0, wall - c.proof_age_ms), math.max(0, wall + c.until_ms)
  local same = h.mark == c.proof_mark
  h.proof = same and math.min(h.proof, proof) or proof
  h.till = same and math.min(h.till, till) or till
  h.mark = c.proof_mark
end

local function hold(r, c, answer, epoch)
  local before = r.holds[node] or {}
  local h = { epoch = epoch, answer = answer, proof = before.proof, till = before.till, mark = before.mark }
  if c.username ~= '' then r.f.name = c.username end
  if c.ip ~= '' then r.f.ip = c.ip end
  apply(h, c)
  keep(r)
  keep_hold(r, node, h)
  if r.recorded then mirror(r) end
  return answer
end

-- Takes the sockets and lingers of other nodes. Under reject it takes only sockets, which are silent or of a dead node. A valid
-- HTTP proof on another node stays as a hold. In mode `restate` a linger stays too, because it may be that of a newer socket.
local function take_over(r, c)
  local keeps_lingers = policy == 'reject' or c.mode == 'restate'
  for other, h in pairs(r.holds) do
    if other ~= node and (not keeps_lingers or h.sockets > 0) then
      lose(other, r.id, h.rev, 'replaced')
      change(r, 'replaced', 'newer-connection', wall, other)
      h.sockets = 0
      h.socket_until = 0
      h.token_groups = ''
      if h.http_until <= observed then drop_hold(r, other) else keep_hold(r, other, h) end
    end
  end
end

-- Whether sockets that connect anew are older than a socket on another node (rule PR9).
local function is_taken(r, c)
  if c.epoch == '0' or policy == 'multi' then return false end
  for other, h in pairs(r.holds) do
    if other ~= node and h.sockets > 0 and tonumber(h.epoch) > tonumber(c.epoch) then return true end
  end
  return false
end

-- Whether sockets that connect anew have shown no life since a logout. The store had lost their hold, so their node got no loss
-- for the logout (rules PR7 and PR9). A logout in the future does not count: the clock has stepped back since then.
local function is_logged_out(r, c)
  if c.epoch == '0' or r.held > 0 then return false end
  local text = last_of(r)
  if not text then return false end
  local last = split(text, '|')
  if last[LAST.reason] ~= 'logout' and last[LAST.reason] ~= 'kick' then return false end
  local at = tonumber(last[LAST.logout_time])
  return at <= wall and wall - c.proof_age_ms <= at
end

local function version_of(groups) return tonumber(string.match(groups, '^%d+')) or 0 end

-- The groups that the service gave (0: none), if the node knows another version. Otherwise empty.
local function untold_groups(r, c)
  local groups = r.f.sg or '0'
  return version_of(groups) == version_of(c.service_groups) and '' or groups
end

-- The answer to a login. After opened the node must write the row, also if an earlier answer was lost or the login continues
-- another node's opening.
local function accepted(r, c)
  local kind = r.recorded and 'joined' or 'opened'
  return kind .. ',' .. format_accepted({
    period = r.period, epoch = r.epoch, login_time = r.login, unsettled = newest_unsettled(r), groups = untold_groups(r, c),
  })
end

local function join(r, c)
  local epoch = r.holds[node] and r.holds[node].epoch or '0'
  if c.mode == 'socket' then
    r.epoch = math.max(wall, r.epoch + 1, high + 1)
    epoch = num(r.epoch)
    if policy ~= 'multi' then take_over(r, c) end
    if r.recorded then change(r, 'connected', 'socket', wall, node) end
  end
  if not r.recorded then r.opened_at = observed end
  -- If another node has taken over the sockets of this claim, a proof of life does not bring them back.
  if is_taken(r, c) then c.sockets, c.socket_ms = 0, 0 end
  return hold(r, c, accepted(r, c), epoch)
end

local function refusal(r, c)
  local rivals = c.rivals
  for other, h in pairs(r.holds) do
    if other ~= node then
      local entry = node_entry(other)
      local lives = entry and observed - entry.seen < RESPONSIVE_MS
      -- Under multi a silent socket counts too.
      if lives and (policy == 'multi' or h.socket_until - observed > responsive_left) then rivals = rivals + h.sockets end
    end
  end
  if rivals == 0 then return nil end
  if policy == 'reject' then return 'session-exists' end
  if policy == 'multi' then
    if rivals >= max_connections then return 'session-exists' end
    return nil
  end
  local recent = {}
  for _, at in ipairs(split(r.f.tk or '', ';')) do
    if (tonumber(at) or 0) > observed - FLAPPING_WINDOW_MS then recent[#recent + 1] = at end
  end
  if #recent >= MAX_TAKEOVERS then return 'session-flapping' end
  recent[#recent + 1] = num(observed)
  call('HSET', user_key(r.id), 'tk', table.concat(recent, ';'))
  return nil
end

local function login(r, c)
  if r.block > observed then return 'blocked' end
  -- SQL knows a later period. So a failover has brought this opening back, and it is over.
  if not r.recorded and r.held > 0 and r.period < c.floor then
    for n in pairs(r.holds) do drop_hold(r, n) end
    forget_opening(r)
  end
  -- Another node began so recently to open the period that it may still be opening it.
  if r.held > 0 and not r.recorded and not r.holds[node] and observed - r.opened_at < OPENING_MS then return 'young' end
  if c.mode == 'socket' then
    if is_taken(r, c) then return 'taken' end
    if is_logged_out(r, c) then return 'gone' end
    local refused = refusal(r, c)
    if refused then return refused end
  end
  if r.held > 0 then return join(r, c) end
  r.epoch = math.max(wall, r.epoch + 1, high + 1, c.floor + 1)
  r.period = r.epoch
  r.login = wall
  r.recorded = false
  r.opened_at = observed
  forget_groups(r)
  r.till = 0
  r.proof = 0
  call('PERSIST', user_key(r.id))
  return hold(r, c, accepted(r, c), c.mode == 'socket' and num(r.epoch) or '0')
end

local function restate(r, c)
  local last = last_of(r)
  local ended = c.period == 0 or (last and tonumber(split(last, '|')[LAST.period]) >= c.period)
  local newer = r.held > 0 and r.period > c.period
  if ended or (newer and r.recorded) then return 'gone' end
  -- The newer period is not recorded, so no user is in it.
  if newer then
    for n in pairs(r.holds) do drop_hold(r, n) end
  end
  -- Proofs of another period do not count for this one.
  if r.held == 0 then r.proof, r.till = 0, 0 end
  -- Two nodes with sockets, after a rollback: the higher epoch stays.
  if is_taken(r, c) then return 'gone' end
  -- A failover has brought an older period back. The nodes that hold the user will claim their proofs again.
  if r.period < c.period then
    r.proof, r.till = 0, 0
    for n, h in pairs(r.holds) do
      h.proof, h.till, h.mark = 0, 0, ''
      keep_hold(r, n, h)
    end
  end
  if c.sockets > 0 and tonumber(c.epoch) >= r.epoch and policy ~= 'multi' then take_over(r, c) end
  if r.period ~= c.period then forget_groups(r) end
  -- Redis may have lost the newest groups. So the newest ones that any node knows count (rule GR1).
  if version_of(c.service_groups) > version_of(r.f.sg or '') then
    r.f.sg = c.service_groups
    call('HSET', user_key(r.id), 'sg', r.f.sg)
  end
  r.period = c.period
  r.login = c.login_time
  r.epoch = math.max(r.epoch, tonumber(c.epoch), c.period)
  r.recorded = true
  call('PERSIST', user_key(r.id))
  local answer = hold(r, c, accepted(r, c), c.epoch)
  show(r)
  return answer
end

local function state(r, c, h)
  apply(h, c)
  h.epoch = c.epoch
  if tonumber(c.epoch) > r.epoch then
    r.epoch = tonumber(c.epoch)
    call('HSET', user_key(r.id), 'epoch', c.epoch)
  end
  if c.cause ~= '' then change(r, 'disconnected', c.cause, wall, node) end
  if is_holding(c) then
    -- A node that has not restored yet must keep the groups that it knows.
    local groups = unrestored and '' or untold_groups(r, c)
    h.answer = groups == '' and 'held' or 'held,' .. groups
    call('HSET', user_key(r.id), 'h:' .. node, format_hold(h))
    -- If another program removed the user from the node's set, a reap would miss the user.
    put(node_key(node), r.id)
    if r.recorded then
      local key = mirror_key(r.id)
      -- Another program may have removed the user, or the whole sets.
      put(ONLINE_SET, r.id)
      put(ONLINE, r.id)
      -- 0: the field existed. Anything else: the hash did not exist, or the key has another type.
      if redis.pcall('HSET', key, 'lastHeartbeat', num(newest_proof(r))) == 0 then
        call('PEXPIRE', key, MIRROR_TTL_MS)
      else
        mirror(r)
      end
    end
    return h.answer
  end
  local ended = drop_or_end(r, node, 'timeout')
  return ended and ('ended,' .. ended) or 'released'
end

local has_losses = call('EXISTS', lost_key(node)) == 1

local function take(c)
  local r = load(c.user_id)
  if c.token_groups ~= '' or c.service_groups ~= '' then watch_groups(r) end
  local h = r.holds[node]
  if h and c.rev <= h.rev then return c.rev == h.rev and h.answer or 'stale' end
  local lost = has_losses and call('HGET', lost_key(node), c.user_id)
  if lost and c.rev <= (tonumber(split(lost, '|')[LOSS.rev]) or 0) then return 'lost' end
  if c.mode == 'restate' then return restate(r, c) end
  -- In a young world a login waits. Lingers end a little later than that, so that the user logs in first.
  if unrestored and c.mode ~= 'state' or is_young(c.mode == 'state' and not is_holding(c)) then return 'young' end
  if c.mode == 'state' then
    -- The period is not recorded, so no user can be in it. The claim is of a period that the store lost.
    if is_taken(r, c) then return 'taken' end
    if h and not r.recorded and is_holding(c) then
      drop_hold(r, node)
      if r.held == 0 then forget_opening(r) end
      h = nil
    end
    if not h then return 'gone' end
    return state(r, c, h)
  end
  if c.mode == 'beat' then
    if r.held > 0 and r.recorded then return join(r, c) end
    return r.held > (h and 1 or 0) and 'young' or 'not-online'
  end
  return login(r, c)
end

for i, fields in ipairs(claims) do answers[i] = take(read_claim(fields)) end
return with_lost(answers)
