"""Moves a partition from one server of Redis to another, while the plant runs. See ADR 55.

Each step can be repeated: a move that was killed goes on, or goes back, with the same command. A command that
is still running then has lost its claim to the servers, and each of its steps is refused.
"""

import secrets
from contextlib import suppress
from typing import Any

from redis.exceptions import NoPermissionError, RedisError, ResponseError

from tickplant import wire
from tickplant.errors import FatalError
from tickplant.move_scripts import ASIDE, LEAVE, PUT_BACK, REPLACE, RESTORE, SET_ASIDE, TAKEN
from tickplant.redis_errors import OUTAGE
from tickplant.redis_exchange import Command
from tickplant.redis_servers import MOVED, MOVING, RedisServers
from tickplant.streams import SERVERS, live_stream, partition_hashes, partition_streams, trades_stream


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
        await _end_former_moves(redis, partition, source)
        return source
    if former_target and target not in (source, former_target):
        raise FatalError(
            f"partition {partition} is moving to {former_target}: finish that first, or go back to {source}"
        )
    await _Move(redis, partition, source, former_target or target).run(place, back=target == source)
    return source


async def _end_former_moves(redis: RedisServers, partition: int, place: str) -> None:
    """Delete what moves that were killed have left on servers that don't have the partition."""
    for name in redis.names:
        if name != place:
            move = _Move(redis, partition, place, name)
            if await move.has_left_something():
                await move.run(place, back=True)


class _Move:
    """One attempt to move a partition, forth or back; a later attempt ends it."""

    def __init__(self, redis: RedisServers, partition: int, source: str, target: str) -> None:
        self._between = f"{source}{MOVING}{target}"
        self._redis = redis
        self._partition = partition
        self._source = source
        self._target = target
        self._origin = redis.client_of(source)
        self._goal = redis.client_of(target)
        self._mover = ""
        self._claim = f"{ASIDE}{{{partition}}}"
        self._shared_claim = f"mover:{{{partition}}}"
        self._keys = partition_streams(partition) + partition_hashes(partition)

    async def run(self, place: str, *, back: bool) -> None:
        """Move the partition.

        Args:
            place: where it was a moment ago.
            back: whether it goes back, which takes the origin alone.
        """
        try:
            while not await self._attempt(place, back=back):
                place = self._between
        except OUTAGE as error:
            raise FatalError(
                f"a server of Redis is unavailable: {error}; run the same command again; while `tickplant"
                f" partitions list` shows {self._between}, the partition waits, or goes back: tickplant"
                f" partitions move {self._partition} {self._source}"
            ) from error

    async def _attempt(self, place: str, *, back: bool) -> bool:
        """Move the partition; return False if a command came between that has stopped.

        Raises:
            FatalError: another command moves the partition now.
        """
        try:
            await self._begin(place, back=back)
            await (self._go_back() if back else self._finish())
        except ResponseError as error:
            if not str(error).startswith(TAKEN):
                raise
            (holder,) = await self._redis.shared.exchange(("GET", self._shared_claim))
            if holder != self._mover.encode():
                raise FatalError(
                    f"another command moves partition {self._partition}: see `tickplant partitions list`, and"
                    " run this one again if that does not end"
                ) from error
            return False
        return True

    async def has_left_something(self) -> bool:
        """Return whether a move was not ended on the target; False if that is away."""
        with suppress(*OUTAGE):
            return bool((await self._goal.exchange(("EXISTS", self._claim)))[0])
        return False

    async def _begin(self, place: str, *, back: bool) -> None:
        """Take the partition from any other move; nobody looks at its servers from now on."""
        self._mover = secrets.token_hex(8)
        claim = ("SET", self._claim, self._mover)
        await self._origin.exchange(claim)
        with suppress(*(OUTAGE if back else ())):
            held, _ = await self._goal.exchange(("GET", self._claim), claim)
            if held == self._mover.encode():
                await self._origin.exchange(("DEL", self._claim))
                raise FatalError(f"{self._source} and {self._target} are the same server")
        await self._replace(place, self._between, ends=False)

    async def _finish(self) -> None:
        """Go on to the target."""
        # An update without changes wakes those who wait for one; they are refused when they ask for the next,
        # since nothing comes between these commands.
        update = (wire.UPDATE, wire.encode_update(wire.LiveUpdate()))
        _, answer = await self._origin.try_exchange(
            ("XADD", live_stream(self._partition), "NOMKSTREAM", "*", *update),
            ("EVAL", SET_ASIDE, *self._arguments(self._keys)),
        )
        if isinstance(answer, Exception):
            raise answer
        try:
            await self._copy()
        except NoPermissionError as error:
            await self._go_back()
            raise FatalError(f"a user of Redis lacks a right for moves (+dump +restore): {error}") from error
        except ResponseError as error:
            if str(error).startswith(TAKEN):
                raise
            await self._go_back()
            raise FatalError(
                f"{self._target} refuses what {self._source} has: {error}; the partition stays there"
            ) from error
        await self._replace(self._between, self._target, ends=True)
        await self._goal.try_exchange((LEAVE, *self._arguments([])))
        await self._origin.try_exchange((LEAVE, *self._arguments(self._keys)))

    async def _go_back(self) -> None:
        """Put everything back where it was."""
        await self._origin.exchange((PUT_BACK, *self._arguments(self._keys)))
        await self._replace(self._between, self._source, ends=True)
        with suppress(*OUTAGE):
            await self._goal.try_exchange((LEAVE, *self._arguments(self._keys)))

    async def _copy(self) -> None:
        """Copy what is set aside, key by key, under its own name.

        The stream of trades is the last one: until then a mark may be there, if the partition was there
        before.
        """
        for key in reversed(self._keys):
            (dumped,) = await self._origin.exchange(("DUMP", ASIDE + key))
            names = (self._claim, key, ASIDE + key)
            await self._goal.exchange((RESTORE, len(names), *names, self._mover, dumped or b""))

    def _arguments(self, keys: list[str]) -> Command:
        return (1 + len(keys), self._claim, *keys, self._mover, MOVED, ASIDE)

    async def _replace(self, place: str, new: str, *, ends: bool) -> None:
        """Change where the partition is, unless another move has done so."""
        self._redis.forget(self._partition)
        arguments = (self._mover, self._partition, place, new, int(ends))
        await self._redis.shared.exchange((REPLACE, 2, self._shared_claim, SERVERS, *arguments))
        self._redis.forget(self._partition)


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
