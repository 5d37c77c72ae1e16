-- What an answer says of the upstream's patience: slower at each sign, faster with time and success,
-- banned after several signs in a row. Returns {counted, state}.
-- KEYS: state, story
-- ARGV: answer (ok, sign, failed, silent), ticket, granted at, cause, question, a random number below
-- 1, then the policy: signs, failures, floor, cut, recovery, probe first, probe longest, recovered by,
-- half-open pace; times in microseconds
local state_key, story = unpack(KEYS)
local answer, ticket, granted, cause, question = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local random = tonumber(ARGV[6])
local enough, burst, floor, cut, recovery, first, longest, recovered_by, half_pace =
  tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]),
  tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])
local KEPT = 50
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local held = {}
local flat = redis.call('HGETALL', state_key)
for i = 1, #flat, 2 do held[flat[i]] = flat[i + 1] end
local state, pace = held.state or 'open', tonumber(held.pace or 1)
local function set(...) redis.call('HSET', state_key, ...) end
local function tell(to, new_pace, why)
  redis.call('RPUSH', story, cjson.encode({
    at = string.format('%.0f', now), from = state, to = to, pace = new_pace, cause = why,
  }))
  redis.call('LTRIM', story, -KEPT, -1)
end
local function ended(counted) return {counted, redis.call('HGETALL', state_key)} end

local is_sole = held.sole == ticket
if is_sole then redis.call('HDEL', state_key, 'sole', 'sole_until') end
if answer == 'silent' and not (state == 'banned' and is_sole) then return ended(0) end

local function ban(interval, why, total, told)
  -- By chance sooner, never later: whoever waits knows the longest it can take.
  set('state', 'banned', 'cause', why, 'probe_interval', interval,
      'next_probe', now + interval * (1 - 0.2 * random), 'changed_at', now,
      'pace', floor, 'signs', total, 'failures', 0, 'successes', 0)
  tell('banned', floor, told)
end

if state == 'banned' then
  -- What was in flight when the ban began says nothing new, either way.
  if not is_sole then return ended(0) end
  local interval = tonumber(held.probe_interval)
  if answer == 'ok' then
    set('state', 'half_open', 'pace', half_pace, 'changed_at', now, 'paced_at', now, 'successes', 1, 'signs', 0)
    tell('half_open', half_pace, 'a probe was answered')
    return ended(1)
  end
  if answer ~= 'silent' then interval = math.min(longest, interval * 2) end
  ban(interval, held.cause, tonumber(held.signs) + (answer == 'silent' and 0 or 1), 'a probe failed: ' .. cause)
  return ended(1)
end

if granted <= tonumber(held.changed_at or 0) then return ended(0) end

if answer == 'failed' then
  local failures = tonumber(held.failures or 0) + 1
  if failures < burst then
    set('failures', failures)
    return ended(1)
  end
  answer, cause = 'sign', failures .. ' server errors in a row, the last one: ' .. cause
end

if answer == 'ok' then
  -- Additive: in proportion to time, but only time in which answers came counts.
  local since = math.min(now - tonumber(held.paced_at or now), recovery / 20)
  local faster = math.min(1, pace + since / recovery)
  set('pace', faster, 'paced_at', now, 'signs', 0, 'failures', 0, 'question', '')
  local successes = tonumber(held.successes or 0) + 1
  if state == 'half_open' then
    set('successes', successes)
    if successes >= recovered_by then
      set('state', 'open', 'since', now, 'changed_at', now)
      redis.call('HDEL', state_key, 'next_probe', 'probe_interval')
      tell('open', faster, successes .. ' answers in a row')
    end
  elseif faster >= 1 and pace < 1 then
    tell('open', 1, 'the full pace again')
  end
  return ended(1)
end

-- The same question answered in the same way may be that question's fault: it counts once.
if held.question == question then return ended(0) end
local signs = tonumber(held.signs or 0) + 1
redis.call('HINCRBY', state_key, 'signs_total', 1)
-- After a ban one sign of the address is enough; of questions it still takes several, or one symbol
-- that is always answered with nothing would renew the ban for ever.
if state == 'half_open' and (question == ticket or signs >= enough) then
  ban(math.min(longest, tonumber(held.probe_interval) * 2), cause, signs, cause)
  return ended(1)
end
local slower = math.max(floor, pace * cut)
if signs >= enough then
  redis.call('HINCRBY', state_key, 'bans', 1)
  redis.call('HSET', state_key, 'since', now)
  ban(first, cause, signs, cause)
  return ended(1)
end
set('state', state, 'pace', slower, 'paced_at', now, 'changed_at', now, 'signs', signs, 'successes', 0,
    'failures', 0, 'question', question, 'cause', cause)
tell(state, slower, cause)
return ended(1)
