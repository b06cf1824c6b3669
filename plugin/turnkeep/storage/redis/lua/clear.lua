-- expected (4), "1" to erase
local fields, away = look()
local stop = stopped(fields, away)
if stop then return stop end
if not (fields[1] and is_expected(fields, 6)) then return {0, key, 0} end
check('written')
if ARGV[10] == '1' and fields[4] ~= '0' then
  drop({'turns', 'names', 'tokens', 'aside'})
  redis.call('HSET', at('info'), 'turns', '0', 'revision', whole(fields[3] + 1))
end
redis.call('HDEL', at('info'), 'summary')
touch(now(), 'epoch', whole(fields[2] + 1))
return {0, key, 1}
