"""Moves a partition from one server of Redis to another, while the plant runs. See ADR 55.

Each step can be repeated: a move that was killed goes on, or goes back, with the same command. A command that
is still running then has lost its claim to the servers, and each of its steps is refused.
"""

import secrets
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import NoPermissionError, RedisError, ResponseError

from tickplant import wire
from tickplant.errors import FatalError
from tickplant.redis_errors import OUTAGE
from tickplant.redis_exchange import Command, Script
from tickplant.redis_servers import MOVED, MOVING, RedisServers
from tickplant.streams import (
    CANDLES_ROLE,
    MIRROR_ROLES,
    SERVERS,
    gaps_key,
    live_stream,
    owner_key,
    prices_key,
    results_stream,
    signals_stream,
    trades_stream,
    unified_key,
    unified_stream,
)

_ASIDE: Final = "moving:"
"""Before the names of keys that are on their way."""
_TAKEN: Final = "TAKEN"

# KEYS: the claim. ARGV: who has to have it.
_CLAIMED: Final = f"""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('{_TAKEN} over by another move') end
"""

# KEYS: the claim, servers. ARGV: mover, partition, its place, the new one, whether the claim ends.
_REPLACE: Final = Script("""
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then return 0 end
if ARGV[5] == '1' then
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], ARGV[1])
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
return 1
""")

# KEYS: the claim, the stream of trades, all other keys. ARGV: mover, the mark, the prefix. From here on,
# whoever reads or writes the partition is refused.
_SET_ASIDE: Final = (
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
_PUT_BACK: Final = Script(
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
_RESTORE: Final = Script(
    _CLAIMED
    + """
redis.call('DEL', KEYS[2], KEYS[3])
if ARGV[2] ~= '' then redis.call('RESTORE', KEYS[2], 0, ARGV[2]) end
"""
)

# KEYS: the claim, what is set aside. ARGV: mover.
_DROP: Final = Script(_CLAIMED + "redis.call('DEL', unpack(KEYS))")


async def move_partition(redis: RedisServers, partition: int, target: str, *, partitions: int) -> str:
    """Move a partition to a server; return the one that it was on.

    Raises:
        FatalError: it can't be moved there; it stays, or goes back to, where it was, or the message says how
            to go on.
    """
    if target not in redis.names:
        raise FatalError(
            f"TICKPLANT_REDIS_URL does not name {target}: name it there first, for all processes;"
            f" it names {', '.join(redis.names)}"
        )
    place = (await redis.places(partitions))[partition]
    source, _, former_target = place.partition(MOVING)
    if target == source and not former_target:
        return source
    if former_target and target not in (source, former_target):
        raise FatalError(
            f"partition {partition} is moving to {former_target}: finish that first, or go back to {source}"
        )
    move = _Move(redis, partition, source, former_target or target)
    try:
        await move.begin(place, back=target == source)
        await (move.go_back() if target == source else move.finish())
    except OUTAGE as error:
        raise FatalError(
            f"a server of Redis is unavailable: {error}; if `tickplant partitions list` shows {move.between},"
            f" the partition waits: run the same command again, or go back: tickplant partitions move"
            f" {partition} {source}"
        ) from error
    except ResponseError as error:
        if not str(error).startswith(_TAKEN):
            raise
        raise move.taken() from error
    return source


class _Move:
    """One attempt to move a partition, forth or back; a later attempt ends it."""

    def __init__(self, redis: RedisServers, partition: int, source: str, target: str) -> None:
        self.between = f"{source}{MOVING}{target}"
        self._redis = redis
        self._partition = partition
        self._source = source
        self._target = target
        self._origin = redis.client_of(source)
        self._goal = redis.client_of(target)
        self._mover = secrets.token_hex(8)
        self._claim = f"{_ASIDE}{{{partition}}}"
        self._keys = _keys(partition)

    async def begin(self, place: str, *, back: bool) -> None:
        """Take the partition from any other move; nobody looks at its servers from now on.

        Args:
            place: where it was a moment ago.
            back: whether it goes back, which takes the origin alone.
        """
        claim = ("SET", self._claim, self._mover)
        await self._origin.exchange(claim)
        with suppress(*(OUTAGE if back else ())):
            held, _ = await self._goal.exchange(("GET", self._claim), claim)
            if held == self._mover.encode():
                await self._origin.exchange(("DEL", self._claim))
                raise FatalError(f"{self._source} and {self._target} are the same server")
        await self._replace(place, self.between, ends=False)

    async def finish(self) -> None:
        """Go on to the target."""
        # An update without changes wakes those who wait for one; they are refused when they ask for the next.
        update = (wire.UPDATE, wire.encode_update(wire.LiveUpdate()))
        keys = [self._claim, *self._keys]
        _, answer = await self._origin.try_exchange(
            ("XADD", live_stream(self._partition), "NOMKSTREAM", "*", *update),
            ("EVAL", _SET_ASIDE, len(keys), *keys, self._mover, MOVED, _ASIDE),
        )
        if isinstance(answer, Exception):
            raise answer
        try:
            await self._copy()
        except NoPermissionError as error:
            await self.go_back()
            raise FatalError(f"a user of Redis lacks a right for moves (+dump +restore): {error}") from error
        except ResponseError as error:
            if str(error).startswith(_TAKEN):
                raise
            await self.go_back()
            raise FatalError(
                f"{self._target} refuses what {self._source} has: {error}; the partition stays there"
            ) from error
        await self._replace(self.between, self._target, ends=True)
        await self._origin.try_exchange(self._drop(self._claim, *[_ASIDE + key for key in self._keys]))
        await self._goal.try_exchange(self._drop(self._claim))

    async def go_back(self) -> None:
        """Put everything back where it was."""
        keys = [self._claim, *self._keys]
        await self._origin.exchange((_PUT_BACK, len(keys), *keys, self._mover, MOVED, _ASIDE))
        await self._replace(self.between, self._source, ends=True)
        with suppress(*OUTAGE):
            await self._goal.try_exchange(self._drop(self._claim))

    def taken(self) -> FatalError:
        return FatalError(
            f"another command moves partition {self._partition}: see `tickplant partitions list`, and run"
            " this one again if that does not end"
        )

    async def _copy(self) -> None:
        """Copy what is set aside, key by key, under its own name.

        The stream of trades is the last one: until then a mark may be there, if the partition was there
        before.
        """
        for key in reversed(self._keys):
            (dumped,) = await self._origin.exchange(("DUMP", _ASIDE + key))
            names = (self._claim, key, _ASIDE + key)
            await self._goal.exchange((_RESTORE, len(names), *names, self._mover, dumped or b""))

    def _drop(self, *keys: str) -> Command:
        return (_DROP, len(keys), *keys, self._mover)

    async def _replace(self, place: str, new: str, *, ends: bool) -> None:
        """Change where the partition is, unless another move has done so."""
        first = self._redis.shared
        arguments = (self._mover, self._partition, place, new, int(ends))
        (replaced,) = await first.exchange((_REPLACE, 2, f"mover:{{{self._partition}}}", SERVERS, *arguments))
        self._redis.forget(self._partition)
        if not replaced:
            raise self.taken()


def _keys(partition: int) -> list[str]:
    """Return all keys of a partition, the stream of trades first."""
    streams = (trades_stream, live_stream, results_stream, signals_stream, unified_stream)
    names = [name(partition) for name in (*streams, prices_key, gaps_key, unified_key)]
    return [*names, *[owner_key(role, partition) for role in (CANDLES_ROLE, *MIRROR_ROLES)]]


async def read_lengths(redis: RedisServers, places: dict[int, str]) -> dict[int, Any]:
    """Return how many entries each partition's stream has; None where its server is away."""
    lengths: dict[int, Any] = {}
    for number, place in places.items():
        try:
            (length,) = await redis.client_of(place.partition(MOVING)[0]).try_exchange(
                ("XLEN", trades_stream(number))
            )
        except (RedisError, OSError):
            length = None
        lengths[number] = None if isinstance(length, Exception) else length
    return lengths
