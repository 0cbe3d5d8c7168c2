-- Removes bodies stored before a time, at most so many. Answers how many. ARGV: time in ms, limit.
local bodies = redis.call('ZRANGE', prefix .. 'bodies', '-inf', '(' .. ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, body in ipairs(bodies) do
  redis.call('UNLINK', prefix .. 'body:' .. body)
  redis.call('ZREM', prefix .. 'bodies', body)
end
return #bodies
