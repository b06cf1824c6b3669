-- expected (4), id
local fields, away = look()
local stop = stopped(fields, away)
if stop then return stop end
if not (fields[1] and is_expected(fields, 6)) then return {0, key, false, false} end
return {0, key, record(fields), member(ARGV[10]) or false}
