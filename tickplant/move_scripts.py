"""Lua scripts by which a partition moves from one server of Redis to another; each may be repeated.

A move writes its name as a claim on both servers, and with the partition's place on the first one. On each,
the last claim is the one that counts.
"""

from typing import Final

from tickplant.redis_exchange import Script

ASIDE: Final = "moving:"
"""Before the names of keys that are on their way."""
TAKEN: Final = "TAKEN"
"""How the refusal begins of a move that has lost its claim."""

_CLAIMED: Final = f"""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('{TAKEN} over by another move') end
"""

# KEYS: the claim, servers. ARGV: mover, partition, its place, the new one, whether the claim ends.
REPLACE: Final = Script(f"""
local mine = redis.call('GET', KEYS[1]) == ARGV[1]
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] or (ARGV[5] == '1' and not mine) then
    if mine then redis.call('DEL', KEYS[1]) end
    return redis.error_reply('{TAKEN} over by another move')
end
if ARGV[5] == '1' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[1]) end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
""")

# KEYS: the claim, the stream of trades, all other keys. ARGV: mover, the mark, the prefix. From here on,
# whoever reads or writes the partition is refused. It is sent as text: nothing must come between it and the
# command before it.
SET_ASIDE: Final = (
    _CLAIMED
    + """
if redis.call('TYPE', KEYS[2]).ok == 'string' and redis.call('GET', KEYS[2]) == ARGV[2] then return end
for i = 2, #KEYS do
    if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('RENAME', KEYS[i], ARGV[3] .. KEYS[i]) end
    redis.call('SET', KEYS[i], ARGV[2])
end
"""
)

# KEYS: as above. ARGV: mover, the mark, the prefix.
PUT_BACK: Final = Script(
    _CLAIMED
    + """
for i = 2, #KEYS do
    local key = KEYS[i]
    local marked = redis.call('TYPE', key).ok == 'string' and redis.call('GET', key) == ARGV[2]
    if marked then redis.call('DEL', key) end
    if redis.call('EXISTS', ARGV[3] .. key) == 1 then redis.call('RENAME', ARGV[3] .. key, key) end
end
redis.call('DEL', KEYS[1])
"""
)

# KEYS: the claim, a key, the key where one that leaves is set aside. ARGV: mover, what DUMP gave, or empty.
RESTORE: Final = Script(
    _CLAIMED
    + """
redis.call('DEL', KEYS[2], KEYS[3])
if ARGV[2] ~= '' then redis.call('RESTORE', KEYS[2], 0, ARGV[2]) end
"""
)

# KEYS: the claim; where the partition is not, also the stream of trades and all other keys. ARGV: mover, the
# mark, the prefix. Ends a move: what is set aside goes, and what a move that went back had copied becomes a
# mark.
LEAVE: Final = Script(
    _CLAIMED
    + """
for i = 2, #KEYS do
    redis.call('DEL', ARGV[3] .. KEYS[i])
    if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('SET', KEYS[i], ARGV[2]) end
end
redis.call('DEL', KEYS[1])
"""
)
