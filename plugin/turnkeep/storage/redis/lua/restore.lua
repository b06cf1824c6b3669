-- turns as they are: the record as it was ("" for no session; else its generation, last id and
-- time of change), the time of change that it shall have, the number of fields of the record,
-- these; then each turn: id, JSON, token, the number of its source ids, these.
local fields, away = look()
if away or key ~= ARGV[3] then return {0, key, false} end
local stop = stopped(fields, away)
if stop then return stop end
local was = fields[1] and fields[1] .. ' ' .. fields[5] .. ' ' .. fields[7] or ''
if was ~= ARGV[6] then return {0, key, 0} end
check('turns', 'names', 'tokens', 'keys', 'written')
local count = tonumber(ARGV[8])
local turns, tokens = {}, {}
local place = 9 + count
while place <= #ARGV do
  local id, sources = ARGV[place], tonumber(ARGV[place + 3])
  turns[#turns + 1] = id
  turns[#turns + 1] = ARGV[place + 1]
  if ARGV[place + 2] ~= '' then
    tokens[#tokens + 1] = id
    tokens[#tokens + 1] = ARGV[place + 2]
  end
  for source = place + 4, place + 3 + sources do name({ARGV[source]}, id) end
  place = place + 4 + sources
end
many('ZADD', at('turns'), turns)
if #tokens > 0 then
  many('ZADD', at('tokens'), tokens)
  redis.call('ZREMRANGEBYRANK', at('tokens'), 0, -1001)
end
redis.call('HDEL', at('info'), 'summary')
redis.call('ZADD', index('keys'), 0, key)
touch(tonumber(ARGV[7]), unpack(ARGV, 9, 8 + count))
return {0, key, 1}
