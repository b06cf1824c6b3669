-- a rename that is known not to be committed, source id
local fields, away = look()
local stop = read_stopped(fields, away, ARGV[6])
if stop then return stop end
local ids = fields[1] and redis.call('HGET', at('names'), ARGV[7])
if not ids then return {0, key, false, false} end
local _, text = latest(ids)
return {0, key, record(fields), text or false}
