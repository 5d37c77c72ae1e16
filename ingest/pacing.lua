-- One permit from a multi-window budget. Returns {wait, now, epoch}: wait is 0 when granted, else
-- microseconds to wait, or -1 where the data is not that of the epoch the caller knows: it must give
-- back its grants and ask again.
-- KEYS: grants, live queue, bulk queue, seen (ticket -> expiry), turn, seq, epoch
-- ARGV: ticket, lane, known epoch, new epoch, guard, bulk share, late, then (count, span) per
-- window; times in microseconds
local grants, live, bulk, seen, turn, seq, epoch_key = unpack(KEYS)
local ticket, lane, known = ARGV[1], ARGV[2], ARGV[3]
local guard, bulk_share, late = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
redis.call('SET', epoch_key, ARGV[4], 'NX')
local epoch = redis.call('GET', epoch_key)
if known ~= '' and known ~= epoch then return {-1, now, epoch} end

-- Forget callers that died while waiting.
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', seen, '-inf', now)) do
  redis.call('ZREM', live, dead); redis.call('ZREM', bulk, dead); redis.call('ZREM', seen, dead)
end
local queue = lane == 'live' and live or bulk
if not redis.call('ZSCORE', queue, ticket) then
  redis.call('ZADD', queue, redis.call('INCR', seq), ticket)
end

-- When the permit after `ahead` others becomes free: each window's count-th newest grant must have
-- left it. Beyond the grants already made, whole windows pass.
local longest = 0
local function free_at(ahead)
  local at = 0
  for i = 8, #ARGV, 2 do
    local count, span = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
    if span > longest then longest = span end
    local rank = count - 1 - (ahead % count)
    local grant = redis.call('ZREVRANGE', grants, rank, rank, 'WITHSCORES')
    if grant[2] then
      local t = tonumber(grant[2]) + (span + guard) * (1 + math.floor(ahead / count))
      if t > at then at = t end
    end
  end
  return at
end
local free = free_at(0)
redis.call('ZREMRANGEBYSCORE', grants, '-inf', now - longest - guard)

local waiting_live, waiting_bulk = redis.call('ZCARD', live), redis.call('ZCARD', bulk)
-- While both lanes wait, every bulk_share-th permit is the bulk lane's.
local until_bulk = math.max(bulk_share - 1 - tonumber(redis.call('GET', turn) or '0'), 0)
local ahead = redis.call('ZRANK', queue, ticket)
if lane == 'live' then
  if waiting_bulk > 0 and until_bulk == 0 then ahead = ahead + 1 end
else
  ahead = ahead + math.min(waiting_live, until_bulk + ahead * (bulk_share - 1))
end

-- A caller further back may go when those before it are late to wake, so that no permit is lost.
if free <= now and (ahead == 0 or now - free > late * ahead) then
  redis.call('ZADD', grants, now, ticket)
  redis.call('ZREM', queue, ticket); redis.call('ZREM', seen, ticket)
  if lane == 'bulk' then redis.call('SET', turn, 0)
  elseif waiting_bulk > 0 then redis.call('INCR', turn) end
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, math.ceil((longest + guard) / 1000) + 60000) end
  return {0, now, epoch}
end
local at = free_at(ahead)
local wait = at > now and math.max(at - now, 1000) or late
redis.call('ZADD', seen, now + wait + 5000000, ticket)
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, math.ceil((longest + guard) / 1000) + 60000) end
return {math.ceil(wait), now, epoch}
