"""Writes trades to the partition streams in batched entries; retries until Redis has acknowledged them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from redis.exceptions import RedisError

from ingest.entry_writer import EntryWriter
from ingest.stored_values import StoredValues
from ingest.stream_budget import StreamBudget
from ingest.stream_entry import StreamEntry
from tickplant import metrics, wire
from tickplant.clock import now_us
from tickplant.dead_letters import write_dead_letter
from tickplant.kernel import TradeColumns, encode_columns, group_trades
from tickplant.market import Gap, SymbolId, Trade
from tickplant.provenance import source_of
from tickplant.redis_agreement import agree_on_partitions, claim_redis_source
from tickplant.redis_client import RedisClient
from tickplant.redis_errors import OUTAGE, is_wrong_type, retry_until_available
from tickplant.streams import CONNECTIONS, OWN_IDS, gaps_key, partition_of, prices_key

MAX_TRADES_PER_ENTRY: Final = 500

_T = TypeVar("_T")
Values = Callable[[str, Sequence[SymbolId], Sequence[bytes | None]], Iterator[_T]]
"""Decodes what a key holds of symbols."""


class Publisher:
    """Writes to the partition streams; one call at a time for the trades of one symbol."""

    def __init__(
        self, redis: RedisClient, *, partitions: int, budget_trades: int, paces: bool = False
    ) -> None:
        """Initialize the publisher.

        Args:
            redis: an open client; stays the caller's.
            partitions: number of partition streams.
            budget_trades: the most uncommitted trades in a stream; see `wait_for_budget`.
            paces: whether waiting for the budget is usual, and not logged.
        """
        self._redis = redis
        self._partitions = partitions
        self._partition_by_symbol: dict[tuple[str, str], int] = {}
        self._unanswered: dict[object, float] = {}
        self._values = StoredValues()
        self._writer = EntryWriter(redis, retry_until_available=self._retry_until_available)
        self._budget = StreamBudget(
            redis,
            partitions=partitions,
            budget_trades=budget_trades,
            retry_until_available=self._retry_until_available,
            quiet=paces,
        )

    async def agree_on_partitions(self) -> None:
        """Check that the workers use the same number of partitions.

        Raises:
            FatalError: they use another number.
        """
        await self._retry_until_available(lambda: agree_on_partitions(self._redis, self._partitions))

    async def claim_source(self, headers: Mapping[str, str]) -> None:
        """Check that trades of the source of an answer may be written; to be called before writing any.

        Args:
            headers: of the answer; a sandbox identifies itself in them.

        Raises:
            MixedSourcesError: Redis holds trades of another source.
        """
        source = source_of(headers)
        await self._retry_until_available(lambda: claim_redis_source(self._redis, source))

    async def publish(
        self, trades: Iterable[Trade], *, numbered: bool = True, historical: bool = False
    ) -> None:
        """Write trades of any symbols; see `publish_columns`."""
        await self.publish_columns(group_trades(trades), numbered=numbered, historical=historical)

    async def publish_columns(
        self, trades: Sequence[TradeColumns], *, numbered: bool = True, historical: bool = False
    ) -> None:
        """Write trades, in their order within each symbol; return when Redis has acknowledged them all.

        Waits while Redis is unavailable. A write whose answer was lost is repeated, as the ledger drops
        duplicates.

        Args:
            trades: one element a symbol.
            numbered: whether the ids are the venue's, so that gaps are visible; else ingest assigned them.
            historical: whether to hide them from live subscribers.
        """
        field = wire.HISTORICAL if historical else wire.TRADES if numbered else wire.UNNUMBERED
        entries = [
            (partition, entry)
            for partition, parts in self._by_partition(trades).items()
            for entry in split_entries(parts)
        ]
        await self._write_entries(field, entries)
        if trades and not historical:
            received_us = trades[0].trade(0).ingest_time_us
            metrics.INGEST_PUBLISH_DELAY_S.observe(max(0, now_us() - received_us) / 1e6)

    async def publish_past_entries(self, entries: Sequence[TradeColumns]) -> None:
        """Write trades of the past, one entry for each element, in that order; see `publish_columns`.

        Args:
            entries: of at most `MAX_TRADES_PER_ENTRY` trades each.
        """
        by_partition = self._by_partition(entries)
        await self._write_entries(
            wire.HISTORICAL,
            [(partition, [part]) for partition, parts in by_partition.items() for part in parts],
        )

    async def _write_entries(
        self, field: bytes, entries: Sequence[tuple[int, Sequence[TradeColumns]]]
    ) -> None:
        """Write entries with their partitions, and count their trades."""
        await self._writer.write(
            [StreamEntry(partition, field, encode_columns(entry)) for partition, entry in entries]
        )
        for partition, entry in entries:
            count = sum(map(len, entry))
            metrics.INGEST_ENTRY_TRADES.observe(count)
            self._budget.note_written(partition, trades=count, entries=1)

    async def publish_clock(self, venue: str, symbols: Sequence[str], time_us: int) -> None:
        """Write the venue's time to the stream of every partition that carries one of the symbols."""
        by_partition: defaultdict[int, list[str]] = defaultdict(list)
        for symbol in symbols:
            by_partition[partition_of(venue, symbol, self._partitions)].append(symbol)
        await self._writer.write(
            [
                StreamEntry(
                    partition, wire.CLOCK, wire.encode_clock(wire.Clock(venue, tuple(names), time_us))
                )
                for partition, names in by_partition.items()
            ]
        )

    async def publish_verdict(self, verdict: wire.Verdict) -> None:
        """Write a verdict on missing ids to the stream of their symbol."""
        partition = partition_of(verdict.venue, verdict.symbol, self._partitions)
        await self._writer.write([StreamEntry(partition, wire.VERDICT, wire.encode_verdict(verdict))])

    async def read_gaps(self, symbols: Sequence[SymbolId]) -> list[Gap]:
        """Return the committed gaps of the symbols; none while Redis is unavailable."""
        try:
            return [gap async for gap in self._stored(gaps_key, symbols, self._values.gaps)]
        except (*OUTAGE, RedisError):
            return []

    async def read_last_trades(self, symbols: Sequence[SymbolId]) -> list[Trade]:
        """Return the newest published trade of each symbol that has one."""

        async def read() -> list[Trade]:
            return [trade async for trade in self._stored(prices_key, symbols, self._values.trades)]

        found: list[Trade] = await self._retry_until_available(read)
        return found

    async def _stored(
        self, key_of: Callable[[int], str], symbols: Sequence[SymbolId], values: Values[_T]
    ) -> AsyncIterator[_T]:
        """Yield what partitions' hashes hold of symbols; a hash that is another program's has nothing.

        Raises:
            RedisError: Redis is unavailable, or refuses for another reason.
        """
        by_partition: defaultdict[int, list[SymbolId]] = defaultdict(list)
        for symbol in symbols:
            by_partition[partition_of(*symbol, self._partitions)].append(symbol)
        if not by_partition:
            return
        commands = [("HMGET", key_of(number), *map(str, names)) for number, names in by_partition.items()]
        answers = await self._redis.try_exchange(*commands)
        for (number, names), answer in zip(by_partition.items(), answers, strict=True):
            if is_wrong_type(answer):
                self._values.note_refused(key_of(number), answer)
            elif isinstance(answer, Exception):
                raise answer
            else:
                for value in values(key_of(number), names, answer):
                    yield value

    async def reserve_ids(self, venue: str, last_id: int) -> None:
        """Store the greatest assigned id that is about to be written, for a venue without trade ids."""
        await self._retry_until_available(lambda: self._redis.hset(OWN_IDS, venue, last_id))

    async def read_reserved_id(self, venue: str, symbols: Sequence[str]) -> int:
        """Return the greatest id that ingest assigned to a trade of a venue; 0 if there is none.

        Args:
            venue: its name.
            symbols: those whose trades may have been written before ids were reserved.
        """
        reserved = await self._retry_until_available(lambda: self._redis.hget(OWN_IDS, venue))
        last = await self.read_last_trades([SymbolId(venue, symbol) for symbol in symbols])
        reserved_id = self._values.own_id(OWN_IDS, venue, reserved)
        return max(reserved_id, *[trade.trade_id for trade in last], 0)

    async def wait_for_budget(self) -> None:
        """Wait while workers lag by more than the budget."""
        await self._budget.wait()

    async def write_dead_letter(self, source: str, payload: bytes, reason: str) -> None:
        """Write an input that could not be parsed to the dead letters."""
        await self._retry_until_available(
            lambda: write_dead_letter(
                self._redis, source=source, reason=reason, payload={b"payload": payload}
            )
        )

    async def report(self, connection: wire.ConnectionStatus) -> None:
        """Publish the state of a connection; nothing if another program has taken the key."""
        payload = wire.encode_connection(connection)
        with self._refusals_noted(CONNECTIONS):
            await self._retry_until_available(lambda: self._redis.hset(CONNECTIONS, connection.name, payload))

    async def remove_status(self, name: str) -> None:
        """Remove the state of a connection that this process closed."""
        with self._refusals_noted(CONNECTIONS):
            await self._redis.hdel(CONNECTIONS, name)

    @contextmanager
    def _refusals_noted(self, key: str) -> Iterator[None]:
        """Note that a key holds another type, and go on."""
        try:
            yield
        except RedisError as error:
            if not is_wrong_type(error):
                raise
            self._values.note_refused(key, error)

    @property
    def unanswered_s(self) -> float:
        """How long the oldest request to Redis has been without an answer."""
        now_s = asyncio.get_running_loop().time()
        return now_s - min(self._unanswered.values(), default=now_s)

    async def _retry_until_available(self, attempt: Callable[[], Awaitable[Any]]) -> Any:
        request = object()
        self._unanswered[request] = asyncio.get_running_loop().time()
        try:
            return await retry_until_available(attempt)
        finally:
            del self._unanswered[request]

    def _by_partition(self, trades: Sequence[TradeColumns]) -> dict[int, list[TradeColumns]]:
        found: defaultdict[int, list[TradeColumns]] = defaultdict(list)
        for part in trades:
            key = (part.venue, part.symbol)
            partition = self._partition_by_symbol.get(key)
            if partition is None:
                partition = self._partition_by_symbol[key] = partition_of(*key, self._partitions)
            found[partition].append(part)
        return found


def split_entries(trades: Sequence[TradeColumns]) -> Iterator[list[TradeColumns]]:
    """Yield the trades of each entry, at most `MAX_TRADES_PER_ENTRY`, in order."""
    entry: list[TradeColumns] = []
    room = MAX_TRADES_PER_ENTRY
    for part in trades:
        start = 0
        while len(part) - start >= room:
            yield [*entry, part.slice(start, start + room)]
            start += room
            entry, room = [], MAX_TRADES_PER_ENTRY
        if start < len(part):
            entry.append(part.slice(start, len(part)) if start else part)
            room -= len(part) - start
    if entry:
        yield entry
