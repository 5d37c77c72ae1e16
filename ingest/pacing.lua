-- One permit from a multi-window budget. Returns {wait, now, epoch, state}: wait is 0 when granted,
-- else microseconds to wait, or -1 where the data is not that of the epoch the caller knows: it must
-- give back its grants and ask again. state: the hash of throttling.lua, or nothing while all is calm.
-- KEYS: grants, live queue, bulk queue, seen (ticket -> expiry), turn, seq, epoch, state
-- ARGV: ticket, lane (live, bulk, sweep), known epoch, new epoch, bulk share, late, how long the sole
-- right to ask lasts, jitter (share of a window's time per request), a random number below 1, then
-- (count, span, guard) per window; times in microseconds
local grants, live, bulk, seen, turn, seq, epoch_key, state_key = unpack(KEYS)
local ticket, lane, known = ARGV[1], ARGV[2], ARGV[3]
local bulk_share, late, right = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local jitter, draw_next, FIRST_WINDOW = tonumber(ARGV[8]), ARGV[9], 10
local AT_THE_HEAD, RIGHT_WEIGHS = 2 ^ 52, 9
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
redis.call('SET', epoch_key, ARGV[4], 'NX')
local epoch = redis.call('GET', epoch_key)
if known ~= '' and known ~= epoch then return {-1, now, epoch, {}} end

local held = redis.call('HMGET', state_key, 'state', 'pace', 'signs', 'failures', 'next_probe', 'sole', 'sole_until', 'draw')
local state, pace = held[1] or 'open', tonumber(held[2] or 1)
local banned = state == 'banned'
-- After a sign one request at a time is sent, until an answer shows that the upstream bears us.
local one_at_a_time = state ~= 'open' or tonumber(held[3] or 0) > 0
local is_calm = not one_at_a_time and pace >= 1 and tonumber(held[4] or 0) == 0

-- Forget callers that died while waiting.
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', seen, '-inf', now)) do
  redis.call('ZREM', live, dead); redis.call('ZREM', bulk, dead); redis.call('ZREM', seen, dead)
end
local queue = lane == 'bulk' and bulk or live
if not redis.call('ZSCORE', queue, ticket) then
  local place = redis.call('INCR', seq)
  redis.call('ZADD', queue, lane == 'sweep' and place - AT_THE_HEAD or place, ticket)
end

-- When the permit after `ahead` others becomes free: each window's count-th newest grant must have
-- left it, and a little by chance. Beyond the grants already made, whole windows pass. A pace below 1
-- spaces grants evenly. A ban lets one through at its next probe.
local longest, draw = 0, tonumber(held[8] or 0)
local newest = redis.call('ZREVRANGE', grants, 0, 0, 'WITHSCORES')[2]
local function free_at(ahead)
  local at = banned and tonumber(held[5]) or 0
  for i = FIRST_WINDOW, #ARGV, 3 do
    local count, span, guard = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
    longest = math.max(longest, span + guard)
    local rank = count - 1 - (ahead % count)
    local grant = redis.call('ZREVRANGE', grants, rank, rank, 'WITHSCORES')
    if grant[2] then
      local chance = draw * jitter * span / count
      at = math.max(at, tonumber(grant[2]) + (span + guard) * (1 + math.floor(ahead / count)) + chance)
    end
    if newest and pace < 1 and not banned then
      at = math.max(at, tonumber(newest) + span / count / pace * (1 + ahead))
    end
  end
  return at
end
local free = free_at(0)
redis.call('ZREMRANGEBYSCORE', grants, '-inf', now - longest)

local waiting_live, waiting_bulk = redis.call('ZCARD', live), redis.call('ZCARD', bulk)
-- While both lanes wait, every bulk_share-th permit is the bulk lane's.
local until_bulk = math.max(bulk_share - 1 - tonumber(redis.call('GET', turn) or '0'), 0)
local ahead, first_by_right = redis.call('ZRANK', queue, ticket), 0
if lane ~= 'bulk' then
  if lane == 'live' then first_by_right = redis.call('ZCOUNT', live, '-inf', 0) end
  if waiting_bulk > 0 and until_bulk == 0 then ahead = ahead + 1 end
else
  first_by_right = math.min(waiting_live, until_bulk + ahead * (bulk_share - 1))
  ahead = ahead + first_by_right
end

local function keep(wait)
  -- The state is kept for ever: a ban outlives whoever waits for its end.
  for i = 1, #KEYS - 1 do
    redis.call('PEXPIRE', KEYS[i], math.ceil((longest + wait) / 1000) + 60000)
  end
end
local taken = one_at_a_time and held[6] and tonumber(held[7]) > now
-- A caller further back may go when those before it are late to wake, so that no permit is lost. Those
-- that go first by right may be later: on a busy machine all are, and those who wait are many.
local patience = late * (ahead + RIGHT_WEIGHS * first_by_right)
if not taken and free <= now and (ahead == 0 or now - free > patience) then
  redis.call('ZADD', grants, now, ticket)
  redis.call('ZREM', queue, ticket); redis.call('ZREM', seen, ticket)
  if lane == 'bulk' then redis.call('SET', turn, 0)
  elseif waiting_bulk > 0 then redis.call('INCR', turn) end
  redis.call('HSET', state_key, 'draw', draw_next)
  redis.call('HINCRBY', state_key, 'granted', 1)
  if one_at_a_time then redis.call('HSET', state_key, 'sole', ticket, 'sole_until', now + right) end
  if banned then redis.call('HINCRBY', state_key, 'probes', 1) end
  keep(0)
  return {0, now, epoch, is_calm and {} or redis.call('HGETALL', state_key)}
end
local wait
if taken then
  wait = late * 2 * math.min(ahead + 1, 16)  -- its answer may come at any moment
else
  local at = banned and free + late * ahead or free_at(ahead)
  wait = at > now and math.max(at - now, 1000) or late
end
redis.call('ZADD', seen, now + wait + 5000000, ticket)
keep(wait)
return {math.ceil(wait), now, epoch, is_calm and {} or redis.call('HGETALL', state_key)}
