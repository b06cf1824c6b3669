-- The key itself, not the one that it leads to.
local fields = redis.call('HMGET', at('info'), 'alias', 'moving')
if fields[2] then return {2, key, fields[2]} end
if not fields[1] then return {0, key, false} end
check('aliased')
redis.call('HDEL', at('info'), 'alias')
redis.call('SREM', index('aliased'), key)
return {0, key, fields[1]:match('^%d+ (.*)$')}
