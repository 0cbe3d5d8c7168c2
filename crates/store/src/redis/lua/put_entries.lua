-- Keeps entries of a roster. ARGV: "account:campaign", roster, time in ms, name of the group; then entry id and JSON of each.
for at = 5, #ARGV, 2 do
  redis.call('HSET', prefix .. 'entries:' .. ARGV[1], ARGV[at], ARGV[2] .. '\n' .. ARGV[at + 1])
  redis.call('SADD', prefix .. 'entries-of:' .. ARGV[4], ARGV[at])
end
-- The youngest entry decides when the group is old.
redis.call('ZADD', prefix .. 'entries', 'GT', ARGV[3], ARGV[4])
