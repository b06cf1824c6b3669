-- The turns of some shards with some source ids: shards, prefix, the earliest time, source ids.
local found, unread, prefix = {}, {}, ARGV[7]
local earliest = ARGV[8] == '' and '+inf' or whole(-tonumber(ARGV[8]))
local sources = {unpack(ARGV, 9)}
if #sources == 0 then return {0, '', found, unread} end

local function turns_of(lists)
  local seen, texts = {}, {}
  for place = 1, #sources do
    for id in (lists[place] or ''):gmatch('%d+') do
      local text = not seen[id] and member(id)
      seen[id] = true
      if text then texts[#texts + 1] = text end
    end
  end
  return texts
end

each_shard(ARGV[6], function()
  for _, one in ipairs(redis.call('ZRANGEBYSCORE', index('written'), '-inf', earliest)) do
    if one:sub(1, #prefix) == prefix then
      key = one
      local lists = redis.pcall('HMGET', at('names'), unpack(sources))
      local fields = redis.pcall('HMGET', at('info'), 'generation', 'moving', 'last_id')
      if fields.err or lists.err or (fields[1] and not tonumber(fields[3])) then
        unread[#unread + 1] = one
      elseif fields[1] then
        local texts = turns_of(lists)
        if #texts > 0 then found[#found + 1] = {one, fields[2], fields[1], texts} end
      end
    end
  end
end)
return {0, '', found, unread}
