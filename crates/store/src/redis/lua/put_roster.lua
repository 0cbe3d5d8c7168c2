-- Keeps a roster, unless it was kept under a later fence. Answers whether it did. ARGV: id, account, time of creation in ms,
-- fence, JSON.
local key = prefix .. 'roster:' .. ARGV[1]
-- The fence stands first in the JSON, which may be long.
local fence = string.match(redis.call('GETRANGE', key, 0, 40), '^{"fence":(%d+)')
if tonumber(fence or 0) > tonumber(ARGV[4]) then
  return 0
end
redis.call('SET', key, ARGV[5])
redis.call('ZADD', prefix .. 'rosters:' .. ARGV[2], 0, ARGV[1])
redis.call('ZADD', prefix .. 'rosters', ARGV[3], ARGV[2] .. '/' .. ARGV[1])
return 1
