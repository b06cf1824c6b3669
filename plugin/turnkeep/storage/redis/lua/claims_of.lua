-- a rename that is known not to be committed
local fields, away = look()
local stop = read_stopped(fields, away, ARGV[6])
if stop then return stop end
return {0, key, whole(now()), redis.call('HGETALL', at('claims'))}
