-- a rename that is known not to be committed, after, before, limit, "1" for the newest; what the
-- reader knows of the end: generation, revision, damaged, last id. If it is still so, only what
-- came behind it is returned.
local fields, away = look()
local stop = read_stopped(fields, away, ARGV[6])
if stop then return stop end
if not fields[1] then return {0, key, false, 1, {}} end
if ARGV[11] == fields[1] and ARGV[12] == fields[3] and ARGV[13] == fields[10] then
  if ARGV[14] == fields[5] then return {0, key, record(fields), 2, {}} end
  local turns = redis.call('ZRANGEBYSCORE', at('turns'), '(' .. ARGV[14], '+inf')
  return {0, key, record(fields), 2, turns}
end
local low, high = '(' .. ARGV[7], ARGV[8] == '' and '+inf' or '(' .. ARGV[8]
local command, first, last = 'ZRANGEBYSCORE', low, high
if ARGV[10] == '1' then command, first, last = 'ZREVRANGEBYSCORE', high, low end
if ARGV[9] == '' then
  return {0, key, record(fields), 1, redis.call(command, at('turns'), first, last)}
end
local limit = tonumber(ARGV[9])
local turns = redis.call(command, at('turns'), first, last, 'LIMIT', 0, limit + 1)
local complete = #turns <= limit
if not complete then turns[#turns] = nil end
return {0, key, record(fields), complete and 1 or 0, turns}
