-- Puts a suspect into the quarantine and drops the account's oldest ones beyond the limit. ARGV: limit in bytes; then the
-- item as put_item takes it.
put_item(ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7])
while tonumber(redis.call('HGET', prefix .. 'suspects', ARGV[3]) or '0') > tonumber(ARGV[1]) do
  local oldest = redis.call('ZRANGE', prefix .. 'quarantined:' .. ARGV[3] .. ':' .. ARGV[4], 0, 0)[1]
  if not oldest or drop_item(oldest) == 0 then
    break
  end
end
