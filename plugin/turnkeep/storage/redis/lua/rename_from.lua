-- The steps of a rename at its old key: the step, the name of the rename, then the step's own.
-- An alias is not followed.
local step, rename = ARGV[6], ARGV[7]
local fields = redis.call('HMGET', at('info'), unpack(FIELDS))
local moving = fields[MOVING]
local ours = moving and moving:sub(1, 4 + #rename + 1) == 'out ' .. rename .. ' '
local steps = {}

-- Hold changes, and tell what is here: new key.
function steps.freeze()
  if moving then return {2, key, moving} end
  if fields[ALIAS] then return {0, key, 0} end
  check('aliases', 'claims')
  redis.call('HSET', at('info'), 'moving', 'out ' .. rename .. ' ' .. ARGV[8])
  return {0, key, 1, record(fields), redis.call('SMEMBERS', at('aliases')),
    redis.call('HGETALL', at('claims'))}
end

-- Read turns of this session, or of the one at the new key: kind, after, how many.
function steps.copy()
  return {0, key, redis.call('ZRANGEBYSCORE', at(ARGV[8]), '(' .. ARGV[9], '+inf', 'WITHSCORES',
    'LIMIT', 0, ARGV[10])}
end

function steps.thaw()
  if ours then redis.call('HDEL', at('info'), 'moving') end
  return {0, key, ours and 1 or 0}
end

function steps.aliases()
  return {0, key, redis.call('SMEMBERS', at('aliases'))}
end

-- Let an alias of the old key, which this is, lead to the new one: old key, new shard and key.
function steps.retarget()
  if moving and moving:sub(1, 4) == 'out ' then return {2, key, moving} end
  if fields[ALIAS] and fields[ALIAS]:match('^%d+ (.*)$') == ARGV[8] then
    redis.call('HSET', at('info'), 'alias', ARGV[9])
  end
  return {0, key, 1}
end

-- Become an alias: new shard and key.
function steps.leave()
  if not ours then return {0, key, 0} end
  check('claimed', 'written', 'keys', 'aliased')
  drop({'info', 'turns', 'names', 'tokens', 'aside', 'claims', 'aliases'})
  redis.call('SREM', index('claimed'), key)
  redis.call('ZREM', index('written'), key)
  redis.call('ZREM', index('keys'), key)
  redis.call('HSET', at('info'), 'alias', ARGV[8])
  redis.call('SADD', index('aliased'), key)
  return {0, key, 1}
end

-- The alias that a key was is no more.
function steps.disown()
  redis.call('SREM', at('aliases'), ARGV[8])
  return {0, key, 1}
end

return steps[step]()
