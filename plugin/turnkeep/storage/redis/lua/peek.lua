-- expected (4), ids
local fields, away = look()
local stop = stopped(fields, away)
if stop then return stop end
if not (fields[1] and is_expected(fields, 6)) then return {0, key, false, {}} end
local texts = {}
for place = 10, #ARGV do texts[#texts + 1] = member(ARGV[place]) end
return {0, key, record(fields), texts}
