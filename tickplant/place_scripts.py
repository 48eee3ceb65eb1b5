"""Lua scripts of the hash that says which of several servers of Redis has which partition."""

from typing import Final

from tickplant.redis_exchange import Script

# KEYS: servers, the number of partitions, that of a former version. ARGV: the first server, whether it has
# lost its data, then partitions that others have, each with its server. Whoever had one server before has all
# partitions there; those of a first one that has lost its data were there, too.
BEGIN: Final = Script("""
if redis.call('EXISTS', KEYS[1]) == 1 then return end
local new = ARGV[2] == '0' and redis.call('EXISTS', KEYS[2], KEYS[3]) == 0
redis.call('HSET', KEYS[1], 'first', ARGV[1], 'new', new and 'spread' or 'first')
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
""")

# KEYS: servers. ARGV: how many servers, their names, then partitions. Returns the first server, then each
# partition's; nothing where this is not written yet.
PLACE: Final = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
if redis.call('HEXISTS', KEYS[1], 'first') == 0 then return redis.error_reply('WRONGTYPE of a hash') end
local names = tonumber(ARGV[1])
local spread = redis.call('HGET', KEYS[1], 'new') == 'spread'
local found = {redis.call('HGET', KEYS[1], 'first')}
if found[1] ~= ARGV[2] then return found end
for i = names + 2, #ARGV do
    local place = redis.call('HGET', KEYS[1], ARGV[i])
    if not place then
        place = spread and ARGV[2 + tonumber(ARGV[i]) % names] or ARGV[2]
        redis.call('HSET', KEYS[1], ARGV[i], place)
    end
    found[#found + 1] = place
end
return found
""")

# KEYS: servers, the number of partitions. ARGV: the first server. Notes on another one which is the first.
# Returns what is noted; nothing if the server has a plant of its own.
JOIN: Final = Script("""
if redis.call('HEXISTS', KEYS[1], 'first') == 0 then
    if redis.call('EXISTS', KEYS[2]) == 1 then return end
    redis.call('HSET', KEYS[1], 'first', ARGV[1])
end
return redis.call('HGET', KEYS[1], 'first')
""")
