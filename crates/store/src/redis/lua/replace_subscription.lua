-- Replaces a subscription of a version. Answers whether it did. ARGV: id, version that is replaced, its own, JSON.
local held = redis.call('HGET', prefix .. 'subscriptions', ARGV[1])
if not held or string.match(held, '^%d+') ~= ARGV[2] then
  return 0
end
redis.call('HSET', prefix .. 'subscriptions', ARGV[1], ARGV[3] .. '\n' .. ARGV[4])
return 1
