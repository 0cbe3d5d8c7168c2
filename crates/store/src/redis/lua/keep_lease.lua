-- Renews a lease that is held under a fence, or gives it back with a life time of 0. Answers whether it was held.
-- ARGV: name, owner, fence, life time in ms.
local key = prefix .. 'lease:' .. ARGV[1]
local owner, fence = unpack(redis.call('HMGET', key, 'owner', 'fence'))
if owner ~= ARGV[2] or fence ~= ARGV[3] then
  return 0
end
return redis.call('PEXPIRE', key, ARGV[4])
