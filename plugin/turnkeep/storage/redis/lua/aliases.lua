-- All aliases of some shards: these. Returns pairs of an alias and the key it leads to.
local found = {}
each_shard(ARGV[6], function()
  for _, one in ipairs(redis.call('SMEMBERS', index('aliased'))) do
    key = one
    local alias = redis.call('HGET', at('info'), 'alias')
    if alias then
      found[#found + 1] = one
      found[#found + 1] = alias:match('^%d+ (.*)$')
    end
  end
end)
return {0, '', found}
