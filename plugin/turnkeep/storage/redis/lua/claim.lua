-- take, renew or release; name, owner, microseconds, payload (or "" for the one that is there)
local fields, away = look()
local stop = stopped(fields, away)
if stop then return stop end
local verb, name_, owner, lasts, payload = unpack(ARGV, 6, 10)
local text, time = redis.call('HGET', at('claims'), name_), now()
check('claimed')
local there = text and cjson.decode(text)
if verb == 'take' then
  if there and there[1] ~= owner and tonumber(there[2]) > time then return {0, key, false} end
  if payload == '' then payload = there and there[4] or '{}' end
  local over = there and (there[1] ~= owner or there[3] == 1) and 1 or 0
  there = {owner, whole(time + lasts), over, payload}
elseif not there or there[1] ~= owner then
  return {0, key, false}
elseif verb == 'renew' then
  there[2] = whole(time + lasts)
  if payload ~= '' then there[4] = payload end
else
  redis.call('HDEL', at('claims'), name_)
  if redis.call('EXISTS', at('claims')) == 0 then redis.call('SREM', index('claimed'), key) end
  return {0, key, text}
end
text = cjson.encode(there)
redis.call('HSET', at('claims'), name_, text)
redis.call('SADD', index('claimed'), key)
-- A lease of years outlives its session.
if ttl > 0 and tonumber(lasts) < 3e15 then redis.call('PEXPIREAT', at('claims'), whole(math.floor(time / 1000) + ttl)) end
return {0, key, text}
