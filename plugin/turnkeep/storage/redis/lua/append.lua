-- expected (4), dedupe, a generation to begin with, the id that the first of the turns must get
-- in that generation (or ""); then each turn: token, the number of its source ids, these, its
-- JSON without id and epoch.
local fields, away = look()
local stop = stopped(fields, away)
if stop then return stop end

-- Return the stored turns with the tokens of this append: each its id and its JSON. Of a longer
-- one that is tried again, the set has the last tokens. The turns before have the others.
local function stored_by_token()
  local found, wanted, missing, given, first, place = {}, {}, 0, 0, nil, 13
  while place <= #ARGV do
    local token = ARGV[place]
    local id = token ~= '' and redis.call('ZSCORE', at('tokens'), token)
    local text = id and member(id)
    if text then
      found[token] = {id, text}
      first = math.min(tonumber(id), first or tonumber(id))
    elseif token ~= '' then
      wanted[token], missing = true, missing + 1
    end
    given, place = given + 1, place + 3 + tonumber(ARGV[place + 1])
  end
  while first and missing > 0 and given > 0 do
    local some = redis.call('ZREVRANGEBYSCORE', at('turns'), '(' .. whole(first), '-inf',
      'WITHSCORES', 'LIMIT', 0, math.min(given, 1000))
    for one = 1, #some, 2 do
      local readable, turn = pcall(cjson.decode, some[one])
      if readable and type(turn) == 'table' and turn.token and wanted[turn.token] then
        found[turn.token], wanted[turn.token] = {some[one + 1], some[one]}, nil
        missing = missing - 1
      end
    end
    first, given = tonumber(some[#some]), given - #some / 2
  end
  return found
end

local refused, dedupe = not is_expected(fields, 6), ARGV[10] == '1'
local epoch, last = fields[2] or '1', tonumber(fields[5] or 0)
local results, turns, tokens, again, given, named = {}, {}, {}, false, {}, {}
local by_token = stored_by_token()
local first, place = ARGV[12], 13
while place <= #ARGV do
  local token, count = ARGV[place], tonumber(ARGV[place + 1])
  local id, text, new
  if by_token[token] then
    id, text = unpack(by_token[token])
    new, again = 1, true
  end
  if not id and dedupe then
    for source = place + 2, place + 1 + count do
      id, new = given[ARGV[source]], 0
      if id then break end
      local ids = redis.call('HGET', at('names'), ARGV[source])
      if ids then id, text = latest(ids) end
      if id then break end
    end
  end
  if id then
    results[#results + 1] = {tonumber(id), new, text or false}
  else
    if refused then return {0, key, false, false} end
    last = last + 1
    id = whole(last)
    turns[#turns + 1] = id
    turns[#turns + 1] = '{"id":' .. id .. ',"epoch":' .. epoch .. ',' .. ARGV[place + 2 + count]:sub(2)
    if token ~= '' then tokens[#tokens + 1] = id tokens[#tokens + 1] = token end
    if count > 0 then
      named[#named + 1] = {id, {unpack(ARGV, place + 2, place + 1 + count)}}
      if dedupe then
        for source = place + 2, place + 1 + count do given[ARGV[source]] = id end
      end
    end
    results[#results + 1] = last
  end
  place = place + 3 + count
end
if refused and not again then return {0, key, false, false} end
if first ~= '' and #turns > 0 and (
  turns[1] ~= first or #turns / 2 < #results or fields[1] and fields[1] ~= ARGV[11]
) then return {0, key, false, false} end
if #turns > 0 then
  check('turns', 'written')
  if not dedupe then check('names') end
  if not fields[1] then check('keys') end
  local time = now()
  if not fields[1] then begin(time, ARGV[11]) end
  many('ZADD', at('turns'), turns)
  for _, one in ipairs(named) do name(one[2], one[1]) end
  if #tokens > 0 then
    many('ZADD', at('tokens'), tokens)
    redis.call('ZREMRANGEBYRANK', at('tokens'), 0, -1001)
  end
  local count = tonumber(fields[4] or 0) + #turns / 2
  touch(time, 'turns', whole(count), 'last_id', whole(last))
  if fields[1] then
    fields[4], fields[5], fields[7] = whole(count), whole(last), whole(time)
  else
    fields = redis.call('HMGET', at('info'), unpack(FIELDS))
  end
end
return {0, key, record(fields), results}
