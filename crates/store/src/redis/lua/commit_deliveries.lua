-- Writes what a worker has learned, unless the subscription is gone or a higher fence has written. Answers whether it did.
-- ARGV: subscription, fence, JSON of the progress, how many delivered ones stay, how many deliveries are pending, delivered
-- and dead; then, in this order, id, value and place of each: the time when it is due, or when it was first tried.
local subscription = ARGV[1]
local held = redis.call('HGET', prefix .. 'progress', subscription)
if not held or tonumber(string.match(held, '^%d+')) > tonumber(ARGV[2]) then
  return 0
end
local first = 8
for at, status in ipairs({ 'pending', 'delivered', 'dead' }) do
  local behind = first + tonumber(ARGV[4 + at]) * 3
  for start = first, behind - 1, STEP * 3 do
    local ids, values, places = {}, {}, {}
    for one = start, math.min(start + STEP * 3, behind) - 1, 3 do
      ids[#ids + 1] = ARGV[one]
      values[#values + 1], values[#values + 2] = ARGV[one], ARGV[one + 1]
      places[#places + 1], places[#places + 2] = ARGV[one + 2], ARGV[one]
    end
    redis.call('HSET', prefix .. 'delivery:' .. subscription, unpack(values))
    index_deliveries(subscription, status, ids, places)
  end
  first = behind
end
local excess = redis.call('ZCARD', prefix .. 'delivered:' .. subscription) - tonumber(ARGV[4])
while excess > 0 do
  local count = math.min(excess, STEP)
  drop_deliveries(subscription, redis.call('ZRANGE', prefix .. 'delivered:' .. subscription, 0, count - 1))
  excess = excess - count
end
redis.call('HSET', prefix .. 'progress', subscription, ARGV[2] .. '\n' .. ARGV[3])
return 1
