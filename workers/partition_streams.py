"""A partition's streams for its owner: reads input, publishes live updates and results, trims.

Redis refuses every write of a former owner: it stores the epoch that may write.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from redis.exceptions import ResponseError

from db.leases import Lease
from tickplant import wire
from tickplant.derived import signal_view
from tickplant.errors import FormerPrimaryError, LaterEpochError, LeaseLostError
from tickplant.market import Gap
from tickplant.redis_client import RedisClient
from tickplant.redis_exchange import Command, Script, parse_streams
from tickplant.redis_values import RedisValues, parse_count
from tickplant.streams import (
    HELD_ENTRIES,
    MIRROR_RESULTS,
    MIRROR_TRADES,
    START,
    entry_order,
    gaps_key,
    group_name,
    live_stream,
    owner_key,
    prices_key,
    results_stream,
    signals_stream,
    trades_stream,
    unified_key,
    unified_stream,
)
from workers.partition_scripts import PUBLISH, PUBLISH_RESULTS, TAKE, WRITE_GAPS
from workers.trimming import Entry, Trimmer

_LIVE_BYTES: Final = 16 * 1024 * 1024
"""Approximate size of the live updates that a partition retains for clients that reconnect."""
_LIVE_ENTRIES: Final = (64, 10_000)
"""The fewest and the most of them."""

_RESULT_ENTRIES: Final = 10_000
"""Approximate number of signals, unified updates and updates to be mirrored that a partition retains."""


class PublishedPosition(NamedTuple):
    """The position up to which former owners have published."""

    published: str
    """The last entry whose trades have been published; later than the committed one after a crash."""
    results: str
    """The last committed entry whose results have been published."""
    committed: str
    """The last committed entry, by what a former owner has noted in Redis; the database decides."""


class PartitionStreams:
    """One owner's access to the streams of its partition."""

    def __init__(self, redis: RedisClient, lease: Lease, *, keep_s: float = 0) -> None:
        """Take what is needed.

        Args:
            redis: an open client, which the caller closes.
            lease: of the partition.
            keep_s: how long committed entries are kept.
        """
        self._redis = redis
        self._lease = lease
        self._keep_s = keep_s
        self._stream = trades_stream(lease.partition)
        self._live = live_stream(lease.partition)
        self._prices = prices_key(lease.partition)
        self._owner = owner_key(lease.role, lease.partition)
        self._group = group_name(lease.role, lease.epoch)
        self._trimmer = Trimmer(redis, lease, keep_s=keep_s)
        self._mean_bytes = 1_000.0
        self._values = RedisValues()

    async def rewind(self, entry_id: str) -> None:
        """Continue to read after an entry, which is committed.

        Raises:
            LeaseLostError: a later owner has taken the partition.
        """
        await self._take(entry_id)
        self._trimmer = Trimmer(self._redis, self._lease, keep_s=self._keep_s)

    async def take(self) -> PublishedPosition:
        """Become the owner in Redis.

        Raises:
            LaterEpochError: Redis knows a later epoch: a later owner's, unless the database has lost it.
            FormerPrimaryError: the database server is not the primary any more.
        """
        return await self._take(self._lease.entry_id)

    async def _take(self, entry_id: str) -> PublishedPosition:
        prefix = group_name(self._lease.role, 0)[:-1]
        keys = [self._owner, self._stream, self._live]
        arguments = [self._lease.epoch, self._group, entry_id, prefix, self._lease.server or ""]
        published, told, committed, *odd = await self._run(TAKE, keys, arguments)
        for name in odd:
            self._values.note_invalid(
                self._owner, name.decode(), "no epoch" if name == b"epoch" else "no entry id"
            )
        # A script that the server lacks would run after the other commands, so after the wait for entries.
        # It goes to the server of the key beside it.
        await self._redis.exchange(("EXISTS", self._owner), ("SCRIPT", "LOAD", PUBLISH.source))
        return PublishedPosition(
            *[position.decode() if position else START for position in (published, told, committed)]
        )

    async def holds(self, entry_id: str) -> bool:
        """Return whether the input stream has an entry up to this one, and so all that came after it."""
        (entries,) = await self._redis.exchange(("XRANGE", self._stream, "-", entry_id, "COUNT", 1))
        return bool(entries)

    async def publish_and_read(
        self, update: wire.LiveUpdate | None, published: str, *, count: int, block_ms: int
    ) -> list[Entry]:
        """Publish what has changed, and wait for the next entries, in one round trip to Redis.

        Entries are not pending in the group: the next owner, whose group starts at the committed entry,
        reads uncommitted ones again.

        Args:
            update: the change; it is published at once, before the wait.
            published: the last input entry whose trades have been published with it.
            count: the most entries to return.
            block_ms: the longest wait.

        Returns:
            Entries, in order; none if none arrived in time.

        Raises:
            LeaseLostError: a later owner has taken the partition; nothing was published.
        """
        commands: list[Command] = [] if update is None else [self._publish_command(update, published)]
        try:
            answers = await self._redis.exchange(*commands, self._read_command(count, block_ms))
        except ResponseError as error:
            raise _fenced(error) from error
        streams = parse_streams(answers[-1])
        if not streams:
            return []
        ((_, found),) = streams
        entries = [(entry_id.decode(), fields) for entry_id, fields in found]
        self._trimmer.note_read(entries)
        return entries

    async def publish(self, update: wire.LiveUpdate, published: str = "") -> None:
        """Publish what has changed.

        Args:
            update: the change.
            published: the last input entry whose trades are in it; empty where it holds no trades.
        """
        try:
            await self._redis.exchange(self._publish_command(update, published))
        except ResponseError as error:
            raise _fenced(error) from error

    async def _run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        try:
            (answer,) = await self._redis.exchange((script, len(keys), *keys, *arguments))
        except ResponseError as error:
            raise _fenced(error) from error
        return answer

    def _read_command(self, count: int, block_ms: int) -> Command:
        group = ("GROUP", self._group, self._lease.owner, "COUNT", count, "BLOCK", block_ms, "NOACK")
        return ("XREADGROUP", *group, "STREAMS", self._stream, ">")

    def _publish_command(self, update: wire.LiveUpdate, published: str) -> Command:
        payload = wire.encode_update(update)
        keys = [self._owner, self._live, self._prices]
        command = [PUBLISH, len(keys), *keys, self._lease.epoch, published, self._retained(payload), payload]
        for price in update.prices:
            command += f"{price.venue}:{price.symbol}", wire.encode_trade(price)
        return command

    def _retained(self, payload: bytes) -> int:
        """Return how many live updates of their current size to retain."""
        self._mean_bytes += (len(payload) - self._mean_bytes) / 32
        return min(max(int(_LIVE_BYTES / self._mean_bytes), _LIVE_ENTRIES[0]), _LIVE_ENTRIES[1])

    async def publish_results(self, update: wire.LiveUpdate, committed: str) -> None:
        """Publish the results of a commit: live, and in the streams of signals, unified updates and results.

        Args:
            update: the results.
            committed: the last entry of the commit.

        Raises:
            LeaseLostError: a later owner has taken the partition; nothing was published.
        """
        partition = self._lease.partition
        keys = [self._owner, self._live, signals_stream(partition), unified_stream(partition)]
        keys.append(unified_key(partition))
        if update.candles or update.signals or update.firings:
            keys += results_stream(partition), owner_key(MIRROR_RESULTS, partition)
        payload = wire.encode_update(update)
        signals = [msgspec.json.encode(signal_view(signal)) for signal in update.signals]
        arguments: list[Any] = [self._lease.epoch, committed, self._retained(payload), payload]
        arguments += _RESULT_ENTRIES, len(signals), *signals
        for unified in update.unified:
            arguments += unified.symbol, msgspec.json.encode(unified)
        await self._run(PUBLISH_RESULTS, keys, arguments)

    async def write_open_gaps(self, gaps: dict[tuple[str, str], list[Gap]]) -> None:
        """Write open gaps for ingest; an empty list removes those of a symbol.

        Raises:
            LeaseLostError: a later owner has taken the partition; nothing was written.
        """
        arguments: list[Any] = [self._lease.epoch]
        for (venue, symbol), members in gaps.items():
            arguments += f"{venue}:{symbol}", wire.encode_gaps(members) if members else b""
        await self._run(WRITE_GAPS, [self._owner, gaps_key(self._lease.partition)], arguments)

    async def trim(self, entry_id: str, published: str) -> None:
        """Trim entries before a committed one, unless they are to be kept.

        Args:
            entry_id: the committed one.
            published: the last entry whose trades have been published, or that had none.

        Raises:
            LeaseLostError: a later owner has taken the partition; nothing was trimmed.
        """
        try:
            await self._trimmer.trim(entry_id, published)
        except ResponseError as error:
            raise _fenced(error) from error

    async def lag(self) -> int:
        """Return how many entries the stream holds after the group's position.

        Redis doesn't know before version 7, or while a group that was created in the middle of the stream has
        not reached its end: then it is all entries but the committed ones that are kept.
        """
        for group in await self._redis.xinfo_groups(self._stream):
            if group["name"].decode() == self._group:
                lag = group.get("lag")
                return await self._max_lag() if lag is None else int(lag)
        return 0

    async def _max_lag(self) -> int:
        key = owner_key(MIRROR_TRADES, self._lease.partition)
        payload: Any = await self._redis.hget(key, HELD_ENTRIES)
        held = self._values.read(key, HELD_ENTRIES, payload, parse_count) or 0
        return max(0, await self._redis.xlen(self._stream) - held)


def later(a: str, b: str) -> str:
    """Return the later of two entry ids."""
    return a if entry_order(a) >= entry_order(b) else b


def _fenced(error: ResponseError) -> Exception:
    """Return a LeaseLostError for refusals that mean another owner; else the error itself."""
    text = str(error)
    if text.startswith("FORMER"):
        return FormerPrimaryError(int(text.rpartition(" ")[2]))
    if text.startswith("FENCED by epoch"):
        return LaterEpochError(text, int(text.rpartition(" ")[2]))
    if text.startswith(("FENCED", "NOGROUP", "UNBLOCKED")) or "FENCED" in text:
        return LeaseLostError(text)
    return error
