-- Keeps a roster. ARGV: id, account, time of creation in ms, JSON.
redis.call('SET', prefix .. 'roster:' .. ARGV[1], ARGV[4])
redis.call('ZADD', prefix .. 'rosters:' .. ARGV[2], 0, ARGV[1])
redis.call('ZADD', prefix .. 'rosters', ARGV[3], ARGV[2] .. '/' .. ARGV[1])
