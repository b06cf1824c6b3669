-- expected (4); then each turn: its id, as it was, as it shall be ("" for gone), the number of
-- source ids to add, these. Nothing is changed unless all are as they were.
local fields, away = look()
local stop = stopped(fields, away)
if stop then return stop end
if not (fields[1] and is_expected(fields, 6)) then return {0, key, 0} end
local place, gone = 10, 0
while place <= #ARGV do
  if member(ARGV[place]) ~= ARGV[place + 1] then return {0, key, 0} end
  place = place + 4 + ARGV[place + 3]
end
check('names', 'tokens', 'written')
place = 10
while place <= #ARGV do
  local id, before, after, count = unpack(ARGV, place, place + 3)
  redis.call('ZREMRANGEBYSCORE', at('turns'), id, id)
  if after ~= '' then
    redis.call('ZADD', at('turns'), id, after)
    for source = place + 4, place + 3 + count do name({ARGV[source]}, id) end
  else
    gone = gone + 1
    local turn = cjson.decode(before)
    unname(turn.source_ids or {}, id)
    if turn.token then redis.call('ZREM', at('tokens'), turn.token) end
  end
  place = place + 4 + count
end
touch(now(), 'turns', whole(fields[4] - gone), 'revision', whole(fields[3] + 1))
return {0, key, 1}
