-- The beginning of every script: names of keys, the record of a session, and its aliases.
-- ARGV: root, shard, key, "1" on a cluster, milliseconds to live (or 0), then the script's own.
local root, shard, key = ARGV[1], ARGV[2], ARGV[3]
local is_cluster, ttl = ARGV[4] == '1', tonumber(ARGV[5])

local function at(kind) return root .. '{' .. shard .. '}:' .. kind .. ':' .. key end
local function index(kind) return root .. '{' .. shard .. '}:' .. kind end
local function whole(number) return string.format('%.0f', number) end

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- The first twelve are the record, as `_decode.py` reads it.
local FIELDS = {
  'generation', 'epoch', 'revision', 'turns', 'last_id', 'created', 'updated', 'consolidated',
  'summary', 'damaged', 'origins', 'metadata', 'alias', 'moving',
}
local ALIAS, MOVING = 13, 14

-- Return the fields of the session that the key means. An alias on another node of a cluster
-- can't be followed here: its target is the second result.
local function look()
  for _ = 1, 64 do
    local fields = redis.call('HMGET', at('info'), unpack(FIELDS))
    if not fields[ALIAS] then return fields end
    local there, target = fields[ALIAS]:match('^(%d+) (.*)$')
    if is_cluster and there ~= shard then return fields, target end
    shard, key = there, target
  end
  return redis.error_reply('ERR turnkeep: the aliases form a circle')
end

-- Return what stops a change: an alias to follow elsewhere, or a rename that is under way.
local function stopped(fields, away)
  if away then return {1, away} end
  if fields[MOVING] then return {2, key, fields[MOVING]} end
end

-- A read goes on beside a rename into this session, and beside one out of it that is known not
-- to be committed, which the reader then names.
local function read_stopped(fields, away, known)
  if away then return {1, away} end
  local moving = fields[MOVING]
  if moving and moving:sub(1, 4) == 'out ' and moving ~= known then return {2, key, moving} end
end

-- A script that fails in its middle leaves what it wrote before. So those that write look first:
-- a key that is somebody else's fails here.
local COUNTS = {
  names = 'HLEN', claims = 'HLEN', renamed = 'HLEN', claimed = 'SCARD', aliased = 'SCARD',
  aliases = 'SCARD',
}
local INDEXES = {written = true, keys = true, claimed = true, aliased = true, renamed = true}

local function check(...)
  for _, kind in ipairs({...}) do
    redis.call(COUNTS[kind] or 'ZCARD', INDEXES[kind] and index(kind) or at(kind))
  end
end

local function record(fields)
  if not fields[1] then return false end
  return {unpack(fields, 1, 12)}
end

-- Compare the session with the four arguments from `first`: generation, epoch, revision, turn.
local function is_expected(fields, first)
  local generation, epoch, revision, turn = unpack(ARGV, first, first + 3)
  if generation == '' then return true end
  return fields[1] and '=' .. fields[1] == generation
    and (epoch == '' or epoch == fields[2])
    and (revision == '' or revision == fields[3])
    and (turn == '' or redis.call('ZCOUNT', at('turns'), turn, turn) == 1)
end

-- Call a command with many arguments, some thousand at a time; they come in pairs.
local function many(command, where, arguments)
  for first = 1, #arguments, 4000 do
    redis.call(command, where, unpack(arguments, first, math.min(first + 3999, #arguments)))
  end
end

local function begin(time, generation)
  redis.call('HSET', at('info'), 'generation', generation, 'epoch', '1', 'revision', '0',
    'turns', '0', 'last_id', '0', 'created', whole(time), 'consolidated', '0', 'damaged', '0',
    'origins', '[]', 'metadata', '{}')
  redis.call('ZADD', index('keys'), 0, key)
end

-- Store fields of the record, which is written now.
local function touch(time, ...)
  redis.call('HSET', at('info'), 'updated', whole(time), ...)
  redis.call('ZADD', index('written'), whole(-time), key)
  if ttl > 0 then
    local ends = whole(math.floor(time / 1000) + ttl)
    for _, kind in ipairs({'info', 'turns', 'names', 'tokens', 'aside', 'claims'}) do
      redis.call('PEXPIREAT', at(kind), ends)
    end
  end
end

local function member(id)
  return redis.call('ZRANGEBYSCORE', at('turns'), id, id)[1]
end

-- Return the latest readable turn of a list of ids, and its id.
local function latest(ids)
  local found = {}
  for id in ids:gmatch('%d+') do table.insert(found, 1, id) end
  for _, id in ipairs(found) do
    local text = member(id)
    if text and pcall(cjson.decode, text) then return id, text end
  end
end

-- Add the id of a turn to those that a source id leads to.
local function name(sources, id)
  for _, source in ipairs(sources) do
    local ids = redis.call('HGET', at('names'), source)
    redis.call('HSET', at('names'), source, ids and ids .. ' ' .. id or id)
  end
end

local function unname(sources, id)
  for _, source in ipairs(sources) do
    local left = {}
    for one in (redis.call('HGET', at('names'), source) or ''):gmatch('%d+') do
      if one ~= id then left[#left + 1] = one end
    end
    if #left > 0 then
      redis.call('HSET', at('names'), source, table.concat(left, ' '))
    else
      redis.call('HDEL', at('names'), source)
    end
  end
end

local function drop(kinds)
  for _, kind in ipairs(kinds) do redis.call('UNLINK', at(kind)) end
end

-- Call a function with each of these shards; on a cluster there is one.
local function each_shard(shards, function_)
  for one in shards:gmatch('%d+') do
    shard = one
    function_()
  end
end
