-- Removes items received before a time, at most so many. Answers how many. ARGV: time in ms, limit.
local ids = redis.call('ZRANGE', prefix .. 'quarantined', '-inf', '(' .. ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do
  drop_item(id)
  redis.call('ZREM', prefix .. 'quarantined', id)
end
return #ids
