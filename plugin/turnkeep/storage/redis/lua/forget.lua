-- On one server the alias that was followed goes too.
local own_shard, own_key = shard, key
check('aliased')
local fields, away = look()
local stop = stopped(fields, away)
if stop then return stop end
check('claimed', 'written', 'keys')
drop({'info', 'turns', 'names', 'tokens', 'aside', 'claims'})
redis.call('SREM', index('claimed'), key)
redis.call('ZREM', index('written'), key)
redis.call('ZREM', index('keys'), key)
local target = key
if not is_cluster and own_key ~= key then
  shard, key = own_shard, own_key
  redis.call('HDEL', at('info'), 'alias')
  redis.call('SREM', index('aliased'), key)
end
return {0, target, fields[1] and 1 or 0}
