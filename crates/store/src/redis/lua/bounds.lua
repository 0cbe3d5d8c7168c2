-- Answers the last position that was removed and the last that was given. Someone else may have trimmed the stream, or
-- deleted it: then fewer events are there than were added and not removed here, and the hole ends before the first one.
local last, trimmed, added, removed =
  unpack(redis.call('HMGET', prefix .. 'log', 'last', 'trimmed', 'added', 'removed'))
trimmed = tonumber(trimmed or '0')
if tonumber(added or '0') - tonumber(removed or '0') ~= redis.call('XLEN', prefix .. 'events') then
  local first = redis.call('XRANGE', prefix .. 'events', '-', '+', 'COUNT', 1)[1]
  local gap = first and tonumber(string.match(first[1], '^%d+')) - 1 or tonumber(last or '0')
  trimmed = math.max(trimmed, gap)
end
return { digits(trimmed), last or '0' }
