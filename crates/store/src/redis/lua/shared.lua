-- Shared by the scripts; each is sent with these lines before its own. Every key begins with the prefix in KEYS[1], whose
-- hash tag keeps them all on one node of a cluster, so that keys made here need not be listed.
local prefix = KEYS[1]

-- Positions are up to 2^53; a number in Lua is a double, and its own way of writing one knows 14 digits.
local function digits(number)
  return string.format('%.0f', number)
end

local function bump(key, field, by)
  if redis.call('HINCRBY', key, field, by) <= 0 then
    redis.call('HDEL', key, field)
  end
end

-- Longest list of an entry's results; calls beyond are counted in the campaign's numbers alone.
local RESULTS = 2000

-- Notes a result of an entry, or takes it out: "round|outcome", joined by semicolons.
local function note_result(key, entry, outcome, by)
  local results = redis.call('HGET', key, entry)
  if by > 0 then
    if not results then
      redis.call('HSET', key, entry, outcome)
    elseif #results < RESULTS then
      redis.call('HSET', key, entry, results .. ';' .. outcome)
    end
    return
  end
  local first, last = string.find(';' .. (results or '') .. ';', ';' .. outcome .. ';', 1, true)
  if first then
    local rest = string.sub(results, 1, math.max(first - 2, 0)) .. string.sub(results, first == 1 and last or last - 1)
    if rest == '' then
      redis.call('HDEL', key, entry)
    else
      redis.call('HSET', key, entry, rest)
    end
  end
end

-- Counts a record into the numbers of its hour and of its campaign, or out of them. `facts` is [account, campaign,
-- "round|outcome", entry, dialled, "hour|via"] in JSON; records of the first versions lack the last.
local function count(facts, id, by)
  local account, campaign, outcome, entry, dialled, arrival = unpack(cjson.decode(facts))
  if arrival then
    bump(prefix .. 'arrivals:' .. account, arrival, by)
    if campaign ~= cjson.null then
      bump(prefix .. 'arrivals:' .. account .. ':' .. campaign, arrival, by)
    end
  end
  if campaign == cjson.null then
    return
  end
  local owner = account .. ':' .. campaign
  if by < 0 then
    redis.call('ZREM', prefix .. 'records:' .. owner, id)
  end
  bump(prefix .. 'outcomes:' .. owner, outcome, by)
  if entry ~= cjson.null then
    bump(prefix .. 'reached:' .. owner, entry, by)
    note_result(prefix .. 'results:' .. owner, entry, outcome, by)
    if dialled then
      bump(prefix .. 'dialled:' .. owner, entry, by)
    end
  end
end

-- Takes an item out of the quarantine. Answers whether it was there.
local function drop_item(id)
  local key = prefix .. 'quarantine:' .. id
  local account, reason = unpack(redis.call('HMGET', key, 'account', 'reason'))
  if not account then
    return 0
  end
  if reason == 'not_authentic' then
    redis.call('HINCRBY', prefix .. 'suspects', account, -redis.call('HSTRLEN', key, 'raw'))
  end
  redis.call('DEL', key)
  redis.call('ZREM', prefix .. 'quarantined:' .. account, id)
  redis.call('ZREM', prefix .. 'quarantined:' .. account .. ':' .. reason, id)
  redis.call('ZREM', prefix .. 'quarantined', id)
  return 1
end

-- Puts an item into the quarantine, unless it is there. `facts` is what a reader needs besides the raw bytes.
local function put_item(id, account, reason, received_at, facts, raw)
  local key = prefix .. 'quarantine:' .. id
  if redis.call('EXISTS', key) == 1 then
    return
  end
  redis.call('HSET', key, 'account', account, 'reason', reason, 'facts', facts, 'raw', raw)
  -- Ids sort by time of receipt, so that members of one score do.
  redis.call('ZADD', prefix .. 'quarantined:' .. account, 0, id)
  redis.call('ZADD', prefix .. 'quarantined:' .. account .. ':' .. reason, 0, id)
  redis.call('ZADD', prefix .. 'quarantined', received_at, id)
  if reason == 'not_authentic' then
    redis.call('HINCRBY', prefix .. 'suspects', account, #raw)
  end
end

-- Most members of one command: Lua's stack holds some thousands.
local STEP = 1000

-- Puts deliveries into the indexes of their state, and takes them out of all others: by id, and by time those that are due
-- and those that are finished. `places` is time and id of each.
local function index_deliveries(subscription, state, ids, places)
  local function name(kind)
    return prefix .. kind .. ':' .. subscription
  end
  local named = {}
  for _, id in ipairs(ids) do
    named[#named + 1], named[#named + 2] = 0, id
  end
  local is_pending = state == 'pending'
  redis.call('ZADD', name(state), unpack(named))
  redis.call('ZADD', name(is_pending and 'due' or 'finished'), unpack(places))
  redis.call('ZREM', name(is_pending and 'finished' or 'due'), unpack(ids))
  for _, other in ipairs({ 'pending', 'delivered', 'dead' }) do
    if other ~= state then
      redis.call('ZREM', name(other), unpack(ids))
    end
  end
end

-- Removes finished deliveries, at most STEP.
local function drop_deliveries(subscription, ids)
  if #ids == 0 then
    return
  end
  redis.call('HDEL', prefix .. 'delivery:' .. subscription, unpack(ids))
  for _, kind in ipairs({ 'delivered', 'dead', 'finished' }) do
    redis.call('ZREM', prefix .. kind .. ':' .. subscription, unpack(ids))
  end
end
