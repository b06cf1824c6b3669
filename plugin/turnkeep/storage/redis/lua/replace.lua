-- expected (4), id, the turn as it was, as it shall be, source ids to add
local fields, away = look()
local stop = stopped(fields, away)
if stop then return stop end
if not is_expected(fields, 6) or member(ARGV[10]) ~= ARGV[11] then return {0, key, 0} end
redis.call('ZREMRANGEBYSCORE', at('turns'), ARGV[10], ARGV[10])
redis.call('ZADD', at('turns'), ARGV[10], ARGV[12])
for place = 13, #ARGV do name({ARGV[place]}, ARGV[10]) end
touch(now(), 'revision', whole(fields[3] + 1))
return {0, key, 1}
