-- expected (4), ids
local fields, away = look()
local stop = stopped(fields, away)
if stop then return stop end
if not (fields[1] and is_expected(fields, 6)) then return {0, key, false, {}} end
local gone = {}
for place = 10, #ARGV do
  local id = ARGV[place]
  local text = member(id)
  local readable, turn = pcall(cjson.decode, text or '')
  if text and readable then
    gone[#gone + 1] = text
    redis.call('ZREMRANGEBYSCORE', at('turns'), id, id)
    unname(turn.source_ids or {}, id)
    if turn.token then redis.call('ZREM', at('tokens'), turn.token) end
  end
end
if #gone > 0 then
  touch(now(), 'turns', whole(fields[4] - #gone), 'revision', whole(fields[3] + 1))
end
return {0, key, record(fields), gone}
