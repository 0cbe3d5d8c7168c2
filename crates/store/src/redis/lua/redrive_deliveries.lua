-- Makes a dead delivery pending again, or the oldest dead ones, at most so many, and raises the subscription's version if
-- there were any. Answers how many. ARGV: subscription, whether one is meant (0, 1), which, time in ms, limit.
local subscription, now = ARGV[1], ARGV[4]
local dead, values = prefix .. 'dead:' .. subscription, prefix .. 'delivery:' .. subscription
local found = {}
if ARGV[2] == '0' then
  found = redis.call('ZRANGE', dead, 0, ARGV[5] - 1)
elseif redis.call('ZSCORE', dead, ARGV[3]) then
  found = { ARGV[3] }
end
for start = 1, #found, STEP do
  local ids, places = {}, {}
  for at = start, math.min(start + STEP - 1, #found) do
    local value = redis.call('HGET', values, found[at])
    local json = string.sub(value, string.find(value, '\n', 1, true) + 1)
    redis.call('HSET', values, found[at], 'pending 0 ' .. now .. '\n' .. json)
    ids[#ids + 1] = found[at]
    places[#places + 1], places[#places + 2] = now, found[at]
  end
  index_deliveries(subscription, 'pending', ids, places)
end
if #found > 0 then
  local held = redis.call('HGET', prefix .. 'subscriptions', subscription)
  local version, rest = string.match(held, '^(%d+)(.*)$')
  redis.call('HSET', prefix .. 'subscriptions', subscription, digits(tonumber(version) + 1) .. rest)
end
return #found
