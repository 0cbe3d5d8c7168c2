-- Keeps a new subscription. Answers 1, or 0 when there is one of its id, or -1 when there are too many.
-- ARGV: id, version, JSON, JSON of its progress, limit.
if redis.call('HEXISTS', prefix .. 'subscriptions', ARGV[1]) == 1 then
  return 0
end
if redis.call('HLEN', prefix .. 'subscriptions') >= tonumber(ARGV[5]) then
  return -1
end
redis.call('HSET', prefix .. 'subscriptions', ARGV[1], ARGV[2] .. '\n' .. ARGV[3])
redis.call('HSET', prefix .. 'progress', ARGV[1], '0\n' .. ARGV[4])
return 1
