-- Removes rosters created before a time, at most so many. Answers how many. ARGV: time in ms, limit.
local members = redis.call('ZRANGE', prefix .. 'rosters', '-inf', '(' .. ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, member in ipairs(members) do
  local account, id = string.match(member, '^([^/]*)/(.*)$')
  redis.call('DEL', prefix .. 'roster:' .. id)
  redis.call('ZREM', prefix .. 'rosters:' .. account, id)
  redis.call('ZREM', prefix .. 'rosters', member)
end
return #members
