-- Answers, for each index, up to so many ids with their scores, in order, behind a place. Scores are milliseconds times -1,
-- so that the order of a sorted set, score and then id, is newest first and then by id.
-- ARGV: least score, greatest score, score and id to go on behind ('' for the start), how many; then the indexes.
local function is_behind(a, b)
  -- Lua's own comparison follows the server's locale.
  for at = 1, math.min(#a, #b) do
    local x, y = string.byte(a, at), string.byte(b, at)
    if x ~= y then
      return x > y
    end
  end
  return #a > #b
end

local function rank_behind(index, score, id)
  local low = redis.call('ZCOUNT', index, '-inf', '(' .. score)
  local high = low + redis.call('ZCOUNT', index, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_behind(redis.call('ZRANGE', index, middle, middle)[1], id) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

local pages = {}
for at = 6, #ARGV do
  local index = prefix .. ARGV[at]
  local first = redis.call('ZCOUNT', index, '-inf', '(' .. ARGV[1])
  if ARGV[3] ~= '' then
    first = math.max(first, rank_behind(index, ARGV[3], ARGV[4]))
  end
  local last = math.min(first + tonumber(ARGV[5]), redis.call('ZCOUNT', index, '-inf', ARGV[2])) - 1
  pages[#pages + 1] = last >= first and redis.call('ZRANGE', index, first, last, 'WITHSCORES') or {}
end
return pages
