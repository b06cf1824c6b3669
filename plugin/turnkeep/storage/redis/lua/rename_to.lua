-- The steps of a rename at its new key: the step, the name of the rename, then the step's own.
-- An alias is not followed.
local step, rename = ARGV[6], ARGV[7]
local fields = redis.call('HMGET', at('info'), unpack(FIELDS))
local moving = fields[MOVING]
local ours = moving and moving:sub(1, 3 + #rename + 1) == 'in ' .. rename .. ' '
local STAGED = {'turns', 'names', 'tokens', 'aside'}

local function lease(microseconds)
  redis.call('HSET', at('info'), 'lease', whole(now() + microseconds))
end

local function abort()
  redis.call('HDEL', at('info'), 'moving', 'lease')
  for _, kind in ipairs(STAGED) do redis.call('UNLINK', at(kind .. '.new')) end
end

local steps = {}

-- Hold changes: old key, "1" if this key may be an alias of it, lease.
function steps.prepare()
  if moving then return {2, key, moving} end
  local alias = fields[ALIAS] and fields[ALIAS]:match('^%d+ (.*)$')
  if alias and not (ARGV[9] == '1' and alias == ARGV[8]) then return {0, key, 0} end
  redis.call('HSET', at('info'), 'moving', 'in ' .. rename .. ' ' .. ARGV[8])
  lease(ARGV[10])
  return {0, key, 1, record(fields)}
end

-- Keep some turns beside those that are seen: lease, kind; id, JSON, token, count, source ids.
function steps.stage()
  if not ours then return {0, key, 0} end
  lease(ARGV[8])
  local turns, names, place = at(ARGV[9] .. '.new'), at('names.new'), 10
  while place <= #ARGV do
    local id, count = ARGV[place], tonumber(ARGV[place + 3])
    redis.call('ZADD', turns, id, ARGV[place + 1])
    if ARGV[place + 2] ~= '' then redis.call('ZADD', at('tokens.new'), id, ARGV[place + 2]) end
    for source = place + 4, place + 3 + count do
      local ids = redis.call('HGET', names, ARGV[source])
      redis.call('HSET', names, ARGV[source], ids and ids .. ' ' .. id or id)
    end
    place = place + 4 + count
  end
  redis.call('ZREMRANGEBYRANK', at('tokens.new'), 0, -1001)
  return {0, key, 1}
end

-- Let it be seen: old key, "1" if turns were staged, the number of fields of the record,
-- these, the number of aliases, these, claims.
function steps.commit()
  if not ours then return {0, key, 0} end
  check('aliased', 'keys', 'written', 'aliases', 'claims', 'claimed', 'renamed')
  local first, time = 11, now()
  local count = tonumber(ARGV[10])
  redis.call('HDEL', at('info'), 'moving', 'lease', 'alias')
  redis.call('SREM', index('aliased'), key)
  if count > 0 then
    if ARGV[9] == '1' then
      for _, kind in ipairs(STAGED) do
        redis.call('UNLINK', at(kind))
        if redis.call('EXISTS', at(kind .. '.new')) == 1 then
          redis.call('RENAME', at(kind .. '.new'), at(kind))
        end
      end
    end
    redis.call('HDEL', at('info'), 'summary')
    redis.call('ZADD', index('keys'), 0, key)
    touch(time, unpack(ARGV, first, first + count - 1))
  end
  first = first + count
  local aliases = tonumber(ARGV[first])
  for place = first + 1, first + aliases do
    if ARGV[place] ~= key then redis.call('SADD', at('aliases'), ARGV[place]) end
  end
  for place = first + aliases + 1, #ARGV, 2 do
    redis.call('HSETNX', at('claims'), ARGV[place], ARGV[place + 1])
    redis.call('SADD', index('claimed'), key)
  end
  redis.call('HSET', index('renamed'), rename, ARGV[8])
  return {0, key, 1}
end

-- Tell how it stands; "late" gives up one whose process died, "now" its own: when.
function steps.settle()
  if redis.call('HEXISTS', index('renamed'), rename) == 1 then return {0, key, 'committed'} end
  if not ours then return {0, key, 'gone'} end
  local left = tonumber(redis.call('HGET', at('info'), 'lease') or 0) - now()
  if ARGV[8] == 'now' or (ARGV[8] == 'late' and left <= 0) then
    abort()
    return {0, key, 'gone'}
  end
  return {0, key, 'open'}
end

-- Forget that it was committed: nothing at the old key asks any more.
function steps.close()
  redis.call('HDEL', index('renamed'), rename)
  return {0, key, 1}
end

return steps[step]()
