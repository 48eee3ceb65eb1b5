"""Lua scripts by which a partition's owner takes its streams and writes to them, fenced by its epoch."""

from typing import Final

from tickplant.redis_exchange import Script

_FENCE: Final = """
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return redis.error_reply('FENCED') end
"""

# KEYS: owner hash, input stream, live stream. ARGV: epoch, group, committed entry, prefix of the role's
# groups, the database server as system identifier/timeline or empty. Refuses a server that is a former
# primary, as the partition has had an owner on a later timeline. Destroys the groups of former owners, so
# that one that resumes reads nothing, and creates a group at the committed entry. Where Redis was restored
# with less than was committed, new entries still get greater ids. Where the entries of published trades are
# lost, or a position is no entry of the stream, these will be published again; where trades were committed
# but not published, as far as Redis knows, they won't be: in both cases a break in the live stream notifies
# its readers. Returns the positions, and the names of those that are no entry ids, or no epoch.
TAKE: Final = Script("""
local noted = redis.call('HGET', KEYS[1], 'epoch') or '0'
local odd_epoch = #noted > 12 or not string.match(noted, '^%d+$')
local epoch = odd_epoch and 0 or tonumber(noted)
local known = redis.call('HGET', KEYS[1], 'server') or ''
local known_system, known_timeline = string.match(known, '^(%d+)/(%d+)$')
local system, timeline = string.match(ARGV[5], '^(%d+)/(%d+)$')
if system and known_system == system and tonumber(known_timeline) > tonumber(timeline) then
    return redis.error_reply('FORMER primary: later timeline ' .. known_timeline)
end
if epoch > tonumber(ARGV[1]) or (epoch == tonumber(ARGV[1]) and known ~= '' and known ~= ARGV[5]) then
    return redis.error_reply('FENCED by epoch ' .. noted)
end
if redis.call('EXISTS', KEYS[2]) == 1 then
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[2])) do
        local name = group[2]
        if string.sub(name, 1, #ARGV[4]) == ARGV[4] then redis.call('XGROUP', 'DESTROY', KEYS[2], name) end
    end
end
redis.call('XGROUP', 'CREATE', KEYS[2], ARGV[2], ARGV[3], 'MKSTREAM')
local info = redis.call('XINFO', 'STREAM', KEYS[2])
local last
for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = info[i + 1] end end
local function parts(id)
    local ms, seq = string.match(id, '(%d+)-(%d+)')
    return tonumber(ms), tonumber(seq)
end
local function before(one, other)
    local ms, seq = parts(one)
    local other_ms, other_seq = parts(other)
    return ms < other_ms or (ms == other_ms and seq < other_seq)
end
if before(last, ARGV[3]) then redis.call('XSETID', KEYS[2], ARGV[3]) end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'server', ARGV[5])
local odd = {}
local function position(name)
    local id = redis.call('HGET', KEYS[1], name)
    if not id then return false end
    local ms, seq = string.match(id, '^(%d+)-(%d+)$')
    if ms and #ms < 16 and #seq < 16 then return id end
    odd[#odd + 1] = name
    redis.call('HDEL', KEYS[1], name)
    return false
end
local published, told, committed = position('published'), position('told'), position('committed')
local lost = odd[1] == 'published'
if odd_epoch then odd[#odd + 1] = 'epoch' end
if published and before(ARGV[3], published) and #redis.call('XRANGE', KEYS[2], published, published) == 0 then
    lost = true
    if before(last, published) then published = false end
end
if ARGV[3] ~= '0-0' and not (published and not before(published, ARGV[3])) then
    lost = true
    redis.call('HSET', KEYS[1], 'published', ARGV[3])
end
if lost then redis.call('XADD', KEYS[3], '*', 'b', ARGV[3]) end
return {published, told, committed, unpack(odd)}
""")

# A new live stream in place of one that was deleted, perhaps with updates that its readers have not read.
_BREAK: Final = """
local published = redis.call('EXISTS', KEYS[2]) == 0 and redis.call('HGET', KEYS[1], 'published')
if published then redis.call('XADD', KEYS[2], '*', 'b', published) end
"""

# Lua's stack holds some 8,000 values, so many symbols are written in parts.
# KEYS: owner hash, live stream, prices. ARGV: epoch, published entry, entries retained, update, then symbols,
# each with its price.
PUBLISH: Final = Script(
    _FENCE
    + _BREAK
    + """
local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'u', ARGV[4])
redis.call('HSET', KEYS[1], 'live', id)
for i = 5, #ARGV, 1000 do redis.call('HSET', KEYS[3], unpack(ARGV, i, math.min(i + 999, #ARGV))) end
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'published', ARGV[2]) end
"""
)

# KEYS: owner hash, live stream, signals, unified stream, unified hash; where there is something to mirror to
# Kafka also results and their mirror's owner hash. ARGV: epoch, committed entry, live updates retained,
# update, entries retained of the other streams, number of signals, these, then symbols, each with its
# unified state.
PUBLISH_RESULTS: Final = Script(
    _FENCE
    + _BREAK
    + """
local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'u', ARGV[4])
local first = 7 + tonumber(ARGV[6])
for i = 7, first - 1 do redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], '*', 'signal', ARGV[i]) end
for i = first, #ARGV, 1000 do
    local last = math.min(i + 999, #ARGV)
    redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[5], '*', unpack(ARGV, i, last))
    redis.call('HSET', KEYS[5], unpack(ARGV, i, last))
end
if KEYS[6] and redis.call('HEXISTS', KEYS[7], 'confirmed') == 1 then
    redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[5], '*', 'u', ARGV[4])
end
redis.call('HSET', KEYS[1], 'told', ARGV[2], 'live', id)
"""
)

# KEYS: owner hash, gaps. ARGV: epoch, then symbols, each with its gaps; empty for one that has none.
WRITE_GAPS: Final = Script(
    _FENCE
    + """
for i = 2, #ARGV, 2 do
    if ARGV[i + 1] == '' then
        redis.call('HDEL', KEYS[2], ARGV[i])
    else
        redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
    end
end
"""
)
