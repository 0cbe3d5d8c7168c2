-- Puts up to so many entries of a roster back that were set aside. Answers how many are left. ARGV: "account:campaign", roster,
-- limit, name of the group.
local withheld = prefix .. 'withheld:' .. ARGV[4]
local rows = redis.call('HRANDFIELD', withheld, ARGV[3], 'WITHVALUES')
for at = 1, #rows, 2 do
  redis.call('HSET', prefix .. 'entries:' .. ARGV[1], rows[at], rows[at + 1])
  redis.call('SADD', prefix .. 'entries-of:' .. ARGV[4], rows[at])
  redis.call('HDEL', withheld, rows[at])
end
return redis.call('HLEN', withheld)
