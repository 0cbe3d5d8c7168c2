-- Sets up to so many entries of a roster aside, unless they are another roster's by now. Answers how many are left to be
-- looked at. ARGV: "account:campaign", roster, limit, name of the group.
local entries, group = prefix .. 'entries:' .. ARGV[1], prefix .. 'entries-of:' .. ARGV[4]
for _, id in ipairs(redis.call('SPOP', group, ARGV[3])) do
  local row = redis.call('HGET', entries, id)
  if row and string.match(row, '^[^\n]*') == ARGV[2] then
    redis.call('HSET', prefix .. 'withheld:' .. ARGV[4], id, row)
    redis.call('HDEL', entries, id)
  end
end
return redis.call('SCARD', group)
