-- Stores a batch, or answers which record has changed since it was read and stores nothing.
-- ARGV: life time of records and markers in ms, microseconds of the clock, number of records, of events of records, of other
-- events, of items; then
--   record: id, expected revision (0: none), value ("revision json"), index score, time of change in ms, account, facts
--   event of a record: its JSON up to the position
--   other event: id, its JSON up to the position
--   item: as put_item takes it
local life, start = ARGV[1], tonumber(ARGV[2])
local records, events, others, items = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local first_record = 7
local first_event = first_record + records * 7
local first_other = first_event + events
local first_item = first_other + others * 2

for at = first_record, first_event - 1, 7 do
  local found = redis.call('GETRANGE', prefix .. 'record:' .. ARGV[at], 0, 10)
  if (string.match(found, '^(%d+) ') or '0') ~= ARGV[at + 1] then
    return { 'changed', ARGV[at] }
  end
end

local stream, log = prefix .. 'events', prefix .. 'log'
local last = tonumber(redis.call('HGET', log, 'last') or '0')
if last == 0 then
  local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  last = newest and tonumber(string.match(newest[1], '^%d+')) or 0
end
local first = math.max(last + 1, start)
local place = first
local function append(head)
  redis.call('XADD', stream, digits(place) .. '-0', 'event', head .. '"' .. digits(place) .. '"}')
  place = place + 1
end

-- Events first and what makes a repetition a duplicate second: Redis does not undo a script that fails half way, and an
-- event twice is better than none.
for at = first_event, first_other - 1 do
  append(ARGV[at])
end
local seen = {}
for at = first_other, first_item - 1, 2 do
  local marker = prefix .. 'event:' .. ARGV[at]
  if not seen[marker] and redis.call('EXISTS', marker) == 0 then
    append(ARGV[at + 1])
    seen[marker] = true
  end
end
for marker in pairs(seen) do
  redis.call('SET', marker, '', 'PX', life)
end
if place > first then
  last = place - 1
  redis.call('HSET', log, 'last', digits(last))
  redis.call('HINCRBY', log, 'added', place - first)
end

for at = first_record, first_event - 1, 7 do
  local id, account, facts = ARGV[at], ARGV[at + 5], ARGV[at + 6]
  redis.call('SET', prefix .. 'record:' .. id, ARGV[at + 2], 'PX', life)
  local old = redis.call('HGET', prefix .. 'facts', id)
  if old ~= facts then
    if old then
      count(old, id, -1)
    end
    count(facts, id, 1)
    redis.call('HSET', prefix .. 'facts', id, facts)
  end
  redis.call('ZADD', prefix .. 'changed', ARGV[at + 4], id)
  redis.call('ZADD', prefix .. 'records:' .. account, ARGV[at + 3], id)
  local campaign = cjson.decode(facts)[2]
  if campaign ~= cjson.null then
    redis.call('ZADD', prefix .. 'records:' .. account .. ':' .. campaign, ARGV[at + 3], id)
  end
end
for at = first_item, first_item + items * 6 - 1, 6 do
  put_item(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5])
end
return { 'stored', digits(first), digits(last) }
