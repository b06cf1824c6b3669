-- expected (4), the id up to which, the summary
local fields, away = look()
local stop = stopped(fields, away)
if stop then return stop end
if not (fields[1] and is_expected(fields, 6)) then return {0, key, 0} end
local reached = math.min(tonumber(ARGV[10]), tonumber(fields[5]))
if reached <= tonumber(fields[8]) then return {0, key, 0} end
check('written')
touch(now(), 'consolidated', whole(reached), 'summary', ARGV[11])
return {0, key, 1}
