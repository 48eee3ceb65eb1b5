"""Live streams as the hub reads them."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from api.live.cursor import BEGIN, Order, entry_text
from tickplant import wire
from tickplant.errors import TickplantError
from tickplant.redis_client import RedisClient
from tickplant.streams import CANDLES_ROLE, entry_order, live_stream, owner_key
from tickplant.wire import LiveUpdate

TAIL_UPDATES: Final = 32
"""The most updates of one stream in one read. Less than any live stream keeps: a hole between two reads is
only possible where the second was full."""
_TAIL_BLOCK_MS: Final = 5_000
_READ_UPDATES: Final = 64

Payload = tuple[Order, bytes]
"""A live entry and its update, still encoded."""

_TIP: Final = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
return last[1] and last[1][1]
"""
# What is told after a commit and the note of how far that goes are written together, and read together.
_TOLD: Final = """
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
return {redis.call('HGET', KEYS[1], 'told'), last[1] and last[1][1]}
"""
_HOLDS: Final = "return #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])"


class TrimmedError(TickplantError):
    """The stream no longer holds what follows a cursor."""


class Feed:
    """Reads the live streams of all partitions."""

    def __init__(self, redis: RedisClient, partitions: int) -> None:
        """Take a client, which stays the caller's, and the number of partitions."""
        self._redis: Any = redis
        self._streams = [live_stream(partition) for partition in range(partitions)]
        self._partitions = {stream.encode(): number for number, stream in enumerate(self._streams)}
        self._tip = self._redis.register_script(_TIP)
        self._told = self._redis.register_script(_TOLD)
        self._holds = self._redis.register_script(_HOLDS)

    async def tail(self, positions: Sequence[Order]) -> list[tuple[int, list[Payload]]]:
        """Wait for updates after the positions, one for each partition; none if none came for a while."""
        after = {
            stream: entry_text(position) for stream, position in zip(self._streams, positions, strict=True)
        }
        reply = await self._redis.xread(after, count=TAIL_UPDATES, block=_TAIL_BLOCK_MS)
        return [(self._partitions[stream], _payloads(entries)) for stream, entries in reply]

    async def tip(self, partition: int) -> Order:
        """Return the last update; `BEGIN` where there is none."""
        last = await self._tip(keys=[self._streams[partition]])
        return entry_order(last.decode()) if last else BEGIN

    async def told(self, partition: int) -> tuple[Order | None, Order]:
        """Return how far has been told what commits brought, besides candles and gaps.

        Returns:
            The committed entry, None where nobody knows; and the last update, before which that was told.
        """
        owner = owner_key(CANDLES_ROLE, partition)
        answer = await self._told(keys=[owner, self._streams[partition]])
        told, last = (*answer, None, None)[:2]
        return entry_order(told.decode()) if told else None, entry_order(last.decode()) if last else BEGIN

    async def holds(self, partition: int, update: Order) -> bool:
        """Say whether an update is still there, and so everything after it."""
        return bool(await self._holds(keys=[self._streams[partition]], args=[entry_text(update)]))

    async def newest(self, partition: int, count: int) -> list[tuple[Order, LiveUpdate]]:
        """Return the newest updates, oldest first; one that can't be understood as an empty one."""
        entries = await self._redis.xrevrange(self._streams[partition], count=count)
        return [(order, _decode(payload) or LiveUpdate()) for order, payload in _payloads(entries)[::-1]]

    async def read(
        self, partition: int, first: Order, last: Order, *, strict: bool
    ) -> AsyncIterator[tuple[Order, LiveUpdate]]:
        """Yield the updates from one to another, both inclusive.

        Args:
            partition: which.
            first: where to begin.
            last: where to end.
            strict: whether the first must still be there, so that nothing after it can be missing.

        Raises:
            TrimmedError: the first is gone, or became so while reading on, or one can't be read.
        """
        begin = first
        seen: Order | None = None
        while True:
            entries = await self._redis.xrange(
                self._streams[partition], entry_text(begin), entry_text(last), count=_READ_UPDATES
            )
            payloads = _payloads(entries)
            if strict and (not payloads or payloads[0][0] != begin):
                raise TrimmedError(f"{self._streams[partition]} no longer holds {entry_text(begin)}")
            for order, payload in payloads:
                if order != seen:
                    update = _decode(payload)
                    if update is not None:
                        yield order, update
                    elif strict:
                        raise TrimmedError(f"{self._streams[partition]} {entry_text(order)} can't be read")
            if len(payloads) < _READ_UPDATES:
                return
            begin = seen = payloads[-1][0]


def _decode(payload: bytes) -> LiveUpdate | None:
    """Decode an update; None where it can't be understood."""
    try:
        return wire.decode_update(payload)
    except msgspec.DecodeError:
        return None


def _payloads(entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> list[Payload]:
    return [(entry_order(entry_id.decode()), fields.get(wire.UPDATE, b"")) for entry_id, fields in entries]
