-- The claims of some shards: these, prefix.
local found, prefix = {}, ARGV[7]
each_shard(ARGV[6], function()
  for _, one in ipairs(redis.call('SMEMBERS', index('claimed'))) do
    if one:sub(1, #prefix) == prefix then
      key = one
      local claims = redis.pcall('HGETALL', at('claims'))
      local moving = redis.pcall('HGET', at('info'), 'moving')
      if type(moving) == 'table' then moving = false end
      if not claims.err and #claims > 0 then found[#found + 1] = {one, moving, claims} end
    end
  end
end)
return {0, '', whole(now()), found}
