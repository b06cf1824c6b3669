-- turns that can't be read, as they are stored
local fields, away = look()
local stop = stopped(fields, away)
if stop then return stop end
check('aside')
local count = 0
for place = 6, #ARGV do
  local id = redis.call('ZSCORE', at('turns'), ARGV[place])
  if id then
    count = count + 1
    redis.call('ZADD', at('aside'), id, ARGV[place])
    redis.call('ZREM', at('turns'), ARGV[place])
  end
end
if count > 0 and fields[1] then redis.call('HINCRBY', at('info'), 'damaged', count) end
return {0, key}
