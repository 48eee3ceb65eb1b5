"""Reads the live streams in Redis."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from api.live.cursor import STREAM_START, Order, entry_text
from tickplant import wire
from tickplant.errors import PoisonError, TickplantError
from tickplant.redis_client import RedisClient
from tickplant.redis_errors import is_wrong_type
from tickplant.redis_exchange import Script, parse_streams
from tickplant.redis_values import RedisValues, parse_entry_id
from tickplant.streams import CANDLES_ROLE, entry_order, live_stream, owner_key
from tickplant.taken_keys import find_taken_keys
from tickplant.wire import LiveUpdate

MAX_TAIL_UPDATES: Final = 32
"""The most updates of one stream in one read. Live streams are longer: updates can be trimmed between two
reads only if the second read is full."""
_READ_UPDATES: Final = 64


class Payload(NamedTuple):
    """A live entry."""

    order: Order
    update: bytes
    """Still encoded."""
    broken_at: Order | None
    """Of a break, the input entry up to which trades published before it will be stored."""


_LAST_UPDATE: Final = Script("""
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
return last[1] and last[1][1]
""")
# A worker publishes results after a commit and notes the committed entry in one transaction.
_PUBLISHED: Final = Script("""
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
return {redis.call('HGET', KEYS[1], 'told'), last[1] and last[1][1]}
""")
# The start of a stream is held as long as no update was trimmed.
_HOLDS: Final = Script("""
if ARGV[1] == '0-0' then
  if redis.call('EXISTS', KEYS[1]) == 0 then return 1 end
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  local facts = {}
  for i = 1, #info, 2 do facts[info[i]] = info[i + 1] end
  return facts['entries-added'] == facts['length'] and 1 or 0
end
return #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])
""")


class Break(NamedTuple):
    """Where updates may have been lost."""

    stored: Order
    """The input entry up to which trades that were published before will be stored."""


class TrimmedError(TickplantError):
    """The stream no longer holds what follows a cursor."""


class UnreadableStreamError(RedisConnectionError):
    """The key of a live stream holds another type: for its readers, Redis is unavailable."""


class LiveStreamReader:
    """Reads the live streams of all partitions."""

    def __init__(self, redis: RedisClient, partitions: int) -> None:
        """Read with a client, which the caller closes, the streams of this number of partitions."""
        self._redis: Any = redis
        self._values = RedisValues()
        self._streams = [live_stream(partition) for partition in range(partitions)]
        self._partitions = {stream.encode(): number for number, stream in enumerate(self._streams)}

    async def tail(
        self, positions: Mapping[int, Order], *, block_s: float
    ) -> list[tuple[int, list[Payload]]]:
        """Wait for updates after a position in each of some partitions; return none after a timeout.

        Args:
            positions: by partition.
            block_s: the timeout.

        Raises:
            UnreadableStreamError: one of the streams can't be read.
        """
        if not positions:
            await asyncio.sleep(block_s)
            return []
        streams = [self._streams[partition] for partition in positions]
        after = [entry_text(position) for position in positions.values()]
        with readable():
            (reply,) = await self._redis.exchange(
                (
                    "XREAD",
                    "COUNT",
                    MAX_TAIL_UPDATES,
                    "BLOCK",
                    int(block_s * 1_000),
                    "STREAMS",
                    *streams,
                    *after,
                )
            )
        return [(self._partitions[stream], _payloads(entries)) for stream, entries in parse_streams(reply)]

    async def blocked(self, partitions: Collection[int]) -> Collection[int]:
        """Return those partitions of which another program has taken a key that their updates need."""
        return await find_taken_keys(self._redis, CANDLES_ROLE, partitions)

    async def unreadable(self, partitions: Collection[int]) -> list[int]:
        """Return those partitions whose keys hold another type than a stream."""
        types = await self._redis.exchange(*[("TYPE", self._streams[number]) for number in partitions])
        found = zip(partitions, types, strict=True)
        return [number for number, kind in found if kind not in (b"stream", b"none")]

    async def last_update(self, partition: int) -> Order:
        """Return the id of the last update; `STREAM_START` where there is none."""
        with readable():
            (last,) = await self._redis.exchange((_LAST_UPDATE, 1, self._streams[partition]))
        return entry_order(last.decode()) if last else STREAM_START

    async def published(self, partition: int) -> tuple[Order | None, Order]:
        """Return up to which commit signals, firings and accounts are published.

        Returns:
            The committed entry, None if it is unknown; and the last update, by which they were published.
        """
        owner = owner_key(CANDLES_ROLE, partition)
        with readable():
            (answer,) = await self._redis.exchange((_PUBLISHED, 2, owner, self._streams[partition]))
        published, last = (*answer, None, None)[:2]
        committed = self._values.read(owner, "told", published, parse_entry_id)
        return committed, entry_order(last.decode()) if last else STREAM_START

    async def holds(self, partition: int, update: Order) -> bool:
        """Return whether the stream still holds an update, and so everything after it."""
        with readable():
            (held,) = await self._redis.exchange((_HOLDS, 1, self._streams[partition], entry_text(update)))
            return bool(held)

    async def newest(self, partition: int, count: int) -> list[tuple[Order, LiveUpdate]]:
        """Return the newest updates, oldest first; an empty one for one that can't be decoded."""
        with readable():
            entries = await self._redis.xrevrange(self._streams[partition], count=count)
        return [(row.order, _decode(row.update) or LiveUpdate()) for row in _payloads(entries)[::-1]]

    async def read(
        self, partition: int, first: Order, last: Order, *, strict: bool
    ) -> AsyncIterator[tuple[Order, LiveUpdate | Break]]:
        """Yield the updates from one to another, both inclusive; and, unless strict, breaks.

        Args:
            partition: whose updates.
            first: the first update.
            last: the last update.
            strict: whether to raise if updates may be missing, because the first is no longer there.

        Raises:
            TrimmedError: the first was trimmed, or a later one while reading, or one can't be decoded, or
                there is a break after the first.
        """
        start = first
        last_read: Order | None = None
        while True:
            with readable():
                entries = await self._redis.xrange(
                    self._streams[partition], entry_text(start), entry_text(last), count=_READ_UPDATES
                )
            payloads = _payloads(entries)
            if strict and start != STREAM_START and (not payloads or payloads[0].order != start):
                raise TrimmedError(f"{self._streams[partition]} no longer holds {entry_text(start)}")
            for order, payload, broken_at in payloads:
                if order == last_read or (broken_at and order == first):
                    continue
                update = Break(broken_at) if broken_at else _decode(payload)
                if strict and not isinstance(update, LiveUpdate):
                    raise TrimmedError(f"{self._streams[partition]} can't be read beyond {entry_text(order)}")
                if update is not None:
                    yield order, update
            if len(payloads) < _READ_UPDATES:
                return
            start = last_read = payloads[-1].order


@contextmanager
def readable() -> Iterator[None]:
    """Read a live stream.

    Raises:
        UnreadableStreamError: its key holds another type.
    """
    try:
        yield
    except RedisError as error:
        if is_wrong_type(error):
            raise UnreadableStreamError("the key of a live stream holds another type") from error
        raise


def decode_update(payload: bytes) -> LiveUpdate:
    """Decode an update; its batches of trades stay encoded.

    Raises:
        PoisonError: it is none, or names something that is no input entry.
    """
    try:
        update = wire.decode_update(payload)
        for entry in update.entries:
            entry_order(entry.entry_id)
    except (ValueError, RecursionError) as error:  # of msgspec, too
        raise PoisonError(f"not an update: {error}") from error
    return update


def _decode(payload: bytes) -> LiveUpdate | None:
    """Decode an update; return None if it can't be decoded."""
    try:
        return decode_update(payload)
    except PoisonError:
        return None


def _payloads(entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> list[Payload]:
    return [
        Payload(
            entry_order(entry_id.decode()),
            fields.get(wire.UPDATE, b""),
            _break_of(fields[wire.BREAK]) if wire.BREAK in fields else None,
        )
        for entry_id, fields in entries
    ]


def _break_of(value: bytes) -> Order:
    try:
        return entry_order(value.decode())
    except ValueError:
        return STREAM_START
