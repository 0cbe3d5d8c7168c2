-- Answers deliveries in one state: newest first, those before an id, or pending ones by when they are due.
-- ARGV: subscription, state or 'due', end of the range of ids, limit.
local subscription, state, limit = ARGV[1], ARGV[2], tonumber(ARGV[4])
local index, ids = prefix .. state .. ':' .. subscription, {}
if state == 'due' then
  ids = redis.call('ZRANGE', index, '-inf', '+inf', 'BYSCORE', 'LIMIT', 0, limit)
else
  ids = redis.call('ZRANGE', index, ARGV[3], '-', 'BYLEX', 'REV', 'LIMIT', 0, limit)
end
local values = {}
for at, id in ipairs(ids) do
  values[at] = redis.call('HGET', prefix .. 'delivery:' .. subscription, id)
end
return values
