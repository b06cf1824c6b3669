-- Sessions of some shards: these, prefix, how many of each shard at most (or ""), "written" or
-- "key", after: a time (of "written") and a key. Returns pairs of key and time.
local prefix, limit, order, time, last = ARGV[7], tonumber(ARGV[8]), ARGV[9], ARGV[10], ARGV[11]
local step = limit and limit + 1 or 1000
local found = {}

-- Lua's own comparison goes by the server's language.
local function is_behind(one, other)
  for place = 1, #one do
    local a, b = one:byte(place), other:byte(place) or -1
    if a ~= b then return a > b end
  end
  return false
end

-- Add the keys that `take` wants of a sorted set, page by page; it returns nil at the end.
local function collect(command, where, first, last_, with, take)
  local place, count = 0, 0
  while true do
    local page = redis.call(command, where, first, last_, 'LIMIT', place, step, unpack(with))
    local size = #with > 0 and 2 or 1
    for at_ = 1, #page, size do
      local wanted = take(page[at_], page[at_ + 1])
      if wanted == nil then return end
      if wanted then
        found[#found + 1] = page[at_]
        found[#found + 1] = wanted
        count = count + 1
        if limit and count >= limit then return end
      end
    end
    if #page < size * step then return end
    place = place + step
  end
end

each_shard(ARGV[6], function()
  if order == 'key' then
    local first = '[' .. prefix
    if last ~= '' and not is_behind(prefix, last) then first = '(' .. last end
    collect('ZRANGEBYLEX', index('keys'), first, '+', {}, function(one)
      if one:sub(1, #prefix) == prefix then return '0' end
    end)
  else
    local first = time == '' and '-inf' or whole(-tonumber(time))
    collect('ZRANGEBYSCORE', index('written'), first, '+inf', {'WITHSCORES'}, function(one, score)
      score = whole(-tonumber(score))
      return one:sub(1, #prefix) == prefix and (time == '' or score ~= time or is_behind(one, last))
        and score
    end)
  end
end)
return {0, '', found}
