-- Removes events up to and with a position, in whole nodes of the stream and at most so many, or all that are left.
-- Answers how many. ARGV: position, limit (0: none).
local log, stream = prefix .. 'log', prefix .. 'events'
local through = math.min(tonumber(ARGV[1]), tonumber(redis.call('HGET', log, 'last') or '0'))
-- The mark moves before anything is removed: nobody may take the hole of a trim that ended half way for a quiet time.
local newest = redis.call('XREVRANGE', stream, digits(through) .. '-0', '-', 'COUNT', 1)[1]
local mark = newest and string.match(newest[1], '^%d+') or '0'
if tonumber(mark) > tonumber(redis.call('HGET', log, 'trimmed') or '0') then
  redis.call('HSET', log, 'trimmed', mark)
end
local removed
if ARGV[2] == '0' then
  removed = redis.call('XTRIM', stream, 'MINID', digits(through + 1) .. '-0')
else
  removed = redis.call('XTRIM', stream, 'MINID', '~', digits(through + 1) .. '-0', 'LIMIT', ARGV[2])
end
if removed > 0 then
  redis.call('HINCRBY', log, 'removed', removed)
end
return removed
