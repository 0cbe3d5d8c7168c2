-- Removes records whose last change is older than a time, at most so many. Answers how many. ARGV: time in ms, limit.
local ids = redis.call('ZRANGE', prefix .. 'changed', '-inf', '(' .. ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do
  local facts = redis.call('HGET', prefix .. 'facts', id)
  if facts then
    count(facts, id, -1)
    redis.call('ZREM', prefix .. 'records:' .. cjson.decode(facts)[1], id)
    redis.call('HDEL', prefix .. 'facts', id)
  end
  redis.call('DEL', prefix .. 'record:' .. id)
  redis.call('ZREM', prefix .. 'changed', id)
end
return #ids
