-- Removes a part's body. ARGV: "roster/part".
redis.call('UNLINK', prefix .. 'body:' .. ARGV[1])
redis.call('ZREM', prefix .. 'bodies', ARGV[1])
