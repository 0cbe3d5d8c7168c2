-- Counts what came of some entries of a roster, those that are another roster's by now left out. Answers where to go on ('0':
-- nowhere), how many entries these were, how many of them have a result, how many were dialled, and "round|outcome" and
-- how many records, by turns. ARGV: "account:campaign", roster, how many at once, name of the group, where to go on.
local page = redis.call('SSCAN', prefix .. 'entries-of:' .. ARGV[4], ARGV[5], 'COUNT', ARGV[3])
local entries, known, dialled, records = 0, 0, 0, {}
local function look(first, last)
  local ids = { unpack(page[2], first, last) }
  local function read(kind)
    return redis.call('HMGET', prefix .. kind .. ':' .. ARGV[1], unpack(ids))
  end
  local rows, reached, called, results = read('entries'), read('reached'), read('dialled'), read('results')
  for at = 1, #ids do
    if rows[at] and string.match(rows[at], '^[^\n]*') == ARGV[2] then
      entries = entries + 1
      known = known + (reached[at] and 1 or 0)
      dialled = dialled + (called[at] and 1 or 0)
      for outcome in string.gmatch(results[at] or '', '[^;]+') do
        records[outcome] = (records[outcome] or 0) + 1
      end
    end
  end
end
for first = 1, #page[2], STEP do
  look(first, math.min(first + STEP - 1, #page[2]))
end
local counts = {}
for outcome, count in pairs(records) do
  counts[#counts + 1], counts[#counts + 2] = outcome, count
end
return { page[1], entries, known, dialled, counts }
