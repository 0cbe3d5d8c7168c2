-- Sets a value if the present one is the expected one. Answers whether it was set. ARGV: name, whether one is expected (0,
-- 1), the expected one, the new one, its life time in ms.
local key = prefix .. 'value:' .. ARGV[1]
local present = redis.call('GET', key)
if (present and '1' or '0') ~= ARGV[2] or (present and present ~= ARGV[3]) then
  return 0
end
redis.call('SET', key, ARGV[4], 'PX', ARGV[5])
return 1
