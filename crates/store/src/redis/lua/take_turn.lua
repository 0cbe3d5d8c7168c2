-- Takes a turn at a vendor. Answers {0, replicas} when the call may begin, {1, wait in us} when too many began lately,
-- {2, 0} when too many are under way or others come first, {3, wait in ms} while the vendor is to be spared.
-- ARGV: account, holder, replica, whether it has half a share (0, 1), calls of a period for this share and for all, the
-- period in us, slots for this share and for all, the slot's life in ms, how long a replica counts in ms, how long a place
-- is kept in ms.
local account, holder, replica, is_half = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local calls, all_calls, period = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local slots, all_slots, life = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local now_ms = math.floor(now / 1000)

local function key(kind)
  return prefix .. kind .. ':' .. account
end

-- Lets a key live for so many more milliseconds, at least.
local function prolong(name, millis)
  if redis.call('PTTL', name) < millis then
    redis.call('PEXPIRE', name, digits(millis))
  end
end

local slot_key = key(is_half and 'turn-half-slots' or 'turn-slots')
local replicas_key, places_key, starts_key = key('turn-replicas'), key('turn-places'), key('turn-starts')
if redis.call('ZSCORE', slot_key, holder) then
  return { 0, redis.call('ZCARD', replicas_key) }
end

redis.call('ZADD', replicas_key, now_ms, replica)
redis.call('ZREMRANGEBYSCORE', replicas_key, '-inf', now_ms - ARGV[11])
prolong(replicas_key, tonumber(ARGV[11]))

local pause = redis.call('PTTL', key('turn-pause'))
if pause > 0 then
  return { 3, pause }
end

-- Places: who was refused keeps one, `{since} {until}`, so that a replica whose calls end all the time does not take every
-- slot that becomes free. Whoever has half a share comes after all who have a whole one.
local place = (is_half and 'half ' or 'whole ') .. replica
local since, before = now, 0
local places = redis.call('HGETALL', places_key)
for at = 1, #places, 2 do
  local from, till = string.match(places[at + 1], '^(%d+) (%d+)$')
  from, till = tonumber(from), tonumber(till)
  if till < now_ms or from > now then
    redis.call('HDEL', places_key, places[at])
  elseif places[at] == place then
    since = from
  end
end
for at = 1, #places, 2 do
  local from, till = string.match(places[at + 1], '^(%d+) (%d+)$')
  local of_half = string.sub(places[at], 1, 5) == 'half '
  local is_live = tonumber(till) >= now_ms and tonumber(from) <= now
  local is_earlier = (is_half and not of_half) or (of_half == is_half and tonumber(from) < since)
  if is_live and places[at] ~= place and is_earlier then
    before = before + 1
  end
end

-- Keeps the place until a moment after the wait, and answers.
local function refuse(answer, wait_us)
  local wait_ms = math.ceil(wait_us / 1000) + tonumber(ARGV[12])
  redis.call('HSET', places_key, place, digits(since) .. ' ' .. digits(now_ms + wait_ms))
  prolong(places_key, wait_ms)
  return { answer, math.ceil(wait_us) }
end

for _, kind in ipairs({ 'turn-slots', 'turn-half-slots' }) do
  redis.call('ZREMRANGEBYSCORE', key(kind), '-inf', now_ms)
end
local of_half = redis.call('ZCARD', key('turn-half-slots'))
local under_way = redis.call('ZCARD', key('turn-slots')) + of_half
if under_way + before >= all_slots or (is_half and of_half + before >= slots) then
  return refuse(2, 0)
end

-- Starts of calls, the newest first. Those who come before count as if they had begun.
local newest = redis.call('LINDEX', starts_key, 0)
if newest and tonumber(newest) > now then
  -- Another server's clock was ahead.
  redis.call('DEL', starts_key)
end
if before >= calls then
  return refuse(2, 0)
end
local start = redis.call('LINDEX', starts_key, calls - before - 1)
if start and tonumber(start) + period > now then
  return refuse(1, tonumber(start) + period - now)
end

redis.call('LPUSH', starts_key, digits(now))
redis.call('LTRIM', starts_key, 0, all_calls - 1)
prolong(starts_key, math.ceil(period / 1000) + 1)
redis.call('ZADD', slot_key, now_ms + life, holder)
prolong(slot_key, life)
redis.call('HDEL', places_key, place)
return { 0, redis.call('ZCARD', replicas_key) }
