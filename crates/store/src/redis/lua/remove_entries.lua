-- Removes up to so many entries of a roster, unless they are another roster's by now. Answers how many are left to be
-- looked at and how many were removed. ARGV: "account:campaign", roster, limit, name of the group.
local entries, group = prefix .. 'entries:' .. ARGV[1], prefix .. 'entries-of:' .. ARGV[4]
local removed = 0
for _, id in ipairs(redis.call('SPOP', group, ARGV[3])) do
  local row = redis.call('HGET', entries, id)
  if row and string.match(row, '^[^\n]*') == ARGV[2] then
    redis.call('HDEL', entries, id)
    removed = removed + 1
  end
end
local left = redis.call('SCARD', group)
if left == 0 then
  redis.call('UNLINK', prefix .. 'withheld:' .. ARGV[4])
  redis.call('ZREM', prefix .. 'entries', ARGV[4])
end
return { left, removed }
