-- The records of some sessions: pairs of shard and key. Each comes with its mark of a rename.
local found = {}
for place = 6, #ARGV, 2 do
  shard, key = ARGV[place], ARGV[place + 1]
  local fields = redis.pcall('HMGET', at('info'), unpack(FIELDS))
  if fields.err then
    found[#found + 1] = {key, false, false}
  elseif fields[1] then
    found[#found + 1] = {key, fields[MOVING], record(fields)}
  else
    -- It had a time to live. On a replica the primary does this.
    redis.pcall('ZREM', index('written'), key)
    redis.pcall('ZREM', index('keys'), key)
  end
end
return {0, '', found}
