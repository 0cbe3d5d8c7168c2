-- Removes a subscription with all that is kept of it. Answers whether it was there. ARGV: id.
for _, kind in ipairs({ 'delivery', 'pending', 'due', 'delivered', 'dead', 'finished' }) do
  redis.call('UNLINK', prefix .. kind .. ':' .. ARGV[1])
end
redis.call('HDEL', prefix .. 'progress', ARGV[1])
return redis.call('HDEL', prefix .. 'subscriptions', ARGV[1])
