-- Takes a lease, or renews it for its owner. Answers its fence, or 0 when someone else holds it. One counter serves all
-- leases, so that a lease that ended leaves nothing behind. ARGV: name, owner, life time in ms.
local key = prefix .. 'lease:' .. ARGV[1]
local owner, fence = unpack(redis.call('HMGET', key, 'owner', 'fence'))
if owner and owner ~= ARGV[2] then
  return '0'
end
if not owner then
  fence = digits(redis.call('INCR', prefix .. 'fence'))
  redis.call('HSET', key, 'owner', ARGV[2], 'fence', fence)
end
redis.call('PEXPIRE', key, ARGV[3])
return fence
