-- Keeps a chunk of a part's body. ARGV: "roster/part", number of the chunk, time in ms, bytes.
redis.call('HSET', prefix .. 'body:' .. ARGV[1], ARGV[2], ARGV[4])
-- The youngest chunk decides when the body is old.
redis.call('ZADD', prefix .. 'bodies', 'GT', ARGV[3], ARGV[1])
