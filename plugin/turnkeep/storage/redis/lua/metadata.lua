-- the metadata as they were ("" for no session), as they shall be, a generation to begin with
local fields, away = look()
local stop = stopped(fields, away)
if stop then return stop end
if (fields[1] and fields[12] or '') ~= ARGV[6] then return {0, key, 0} end
check('keys', 'written')
local time = now()
if not fields[1] then begin(time, ARGV[8]) end
touch(time, 'metadata', ARGV[7])
return {0, key, 1}
