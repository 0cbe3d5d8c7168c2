-- Removes delivered and dead deliveries that were first tried before a time, at most so many. Answers how many.
-- ARGV: time in ms, limit, subscription.
local index = prefix .. 'finished:' .. ARGV[3]
local ids = redis.call('ZRANGE', index, '-inf', '(' .. ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
drop_deliveries(ARGV[3], ids)
return #ids
