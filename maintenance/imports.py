"""Imports: publish trades of files by the path of a backfill, and compare those that are stored already."""

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

from db.pool import snapshot
from db.trades import TradeBound, read_trades
from ingest.history.ranges import IdRange, count_ids, intersect_ranges, subtract_ranges
from ingest.imports.source import Block, TradeFile
from ingest.publisher import MAX_TRADES_PER_ENTRY
from maintenance.symbol import SymbolMaintenance
from tickplant.kernel import TradeColumns
from tickplant.market import Trade
from workers.rejections import is_same_trade

AHEAD_TRADES: Final = 150_000
"""Trades written ahead of the workers: more would delay live trades of the same partition."""

_PASSES: Final = 3
"""How often trades that have not arrived are published: a crash of Redis may have lost some."""
_ENTRIES_AT_ONCE: Final = 8
_COMPARED_AT_ONCE: Final = 20_000
_STALLED_S: Final = 20.0
"""After this time without room in the stream it is checked whether a worker is running."""
_READ_S: Final = 120.0


class TradeDifference(NamedTuple):
    """A stored trade that differs from that of a file."""

    stored: Trade
    in_file: Trade


class FileImport(NamedTuple):
    """What an import of a file has done."""

    trades: int
    """In the file."""
    stored: int
    """New ones."""
    compared: int
    """Those that were stored before, and are still."""
    differences: Sequence[TradeDifference]
    missing: int
    """Ids between the first and the last that neither the file nor the database has."""
    refused: int
    """Trades that workers don't store: they are dead letters, or held until others confirm them."""


class FileScan(NamedTuple):
    """What a file holds."""

    blocks: list[Block]

    @property
    def ids(self) -> IdRange:
        """The first and the last id."""
        return self.blocks[0].first_id, self.blocks[-1].last_id

    @property
    def trades(self) -> int:
        """How many there are."""
        return sum(block.trades for block in self.blocks)


OnProgress = Callable[[int, int], None]
"""Receives how many of the file's trades are done, and how many there are."""


class Dated(Protocol):
    """A file, or one that can be downloaded."""

    @property
    def start_us(self) -> int:
        """The time before which it has no trade."""


DatedT = TypeVar("DatedT", bound=Dated)


def order_files(files: Sequence[DatedT], stored_until_us: int | None) -> list[DatedT]:
    """Return files of one symbol in the order in which each adjoins what is stored before it.

    Args:
        files: in any order.
        stored_until_us: the time up to which trades are stored; None where none are.
    """
    ascending = sorted(files, key=lambda file: file.start_us)
    if stored_until_us is None:
        return ascending
    above = [file for file in ascending if file.start_us > stored_until_us]
    others = ascending[: len(ascending) - len(above)][::-1]
    return [*others[:1], *above, *others[1:]]


async def scan_file(file: TradeFile, on_trades: Callable[[int], None]) -> FileScan:
    """Read a file from its start to its end, and check it.

    Args:
        file: to be read.
        on_trades: receives how many trades have been read.

    Raises:
        FileError: it is damaged, or isn't what it should be.
    """
    blocks = file.scan()
    found: list[Block] = []
    while (block := await asyncio.to_thread(next, blocks, None)) is not None:
        found.append(block)
        on_trades(sum(item.trades for item in found))
    return FileScan(found)


async def count_unstored(target: SymbolMaintenance, ids: IdRange) -> int:
    """Return under how many of some ids no trade is stored."""
    return count_ids(await _read_unstored(target, ids))


async def import_file(
    target: SymbolMaintenance, file: TradeFile, scan: FileScan, on_progress: OnProgress
) -> FileImport:
    """Store the trades of a file that are not stored yet, and compare the others with the stored ones.

    Args:
        target: the file's symbol.
        file: to read from.
        scan: of the file.
        on_progress: called after every few thousand trades.

    Raises:
        FileError: the file has changed since.
        FatalError: no worker stores the trades.
    """
    unstored = before = await _read_unstored(target, scan.ids)
    compared, differences, done = 0, list[TradeDifference](), 0
    for block in scan.blocks:
        known = subtract_ranges((block.first_id, block.last_id), _within(unstored, block))
        if known:
            trades = await asyncio.to_thread(file.read, block)
            count, found = await _compare(target, trades, block, known)
            compared += count
            differences += found
            done += sum(len(part) for part in _select(trades, known))
            on_progress(done, scan.trades)
    refused = 0
    for _ in range(_PASSES):
        counted = done
        ledger = await target.read_ledger()
        async for published in _publish(
            target, file, scan, unstored, ledger.last_trade_id if ledger else None
        ):
            counted += published
            on_progress(min(counted, scan.trades), scan.trades)
        if counted == done:
            break
        await target.wait_for_commit()
        unstored = await _read_unstored(target, scan.ids)
    else:
        refused = await _count_trades(file, scan, unstored)
    return FileImport(
        scan.trades,
        count_ids(before) - count_ids(unstored),
        compared,
        differences,
        count_ids(unstored) - refused,
        refused,
    )


async def _count_trades(file: TradeFile, scan: FileScan, ids: Sequence[IdRange]) -> int:
    """Return how many trades of a file have some ids."""
    count = 0
    for block in scan.blocks:
        if within := _within(ids, block):
            trades = await asyncio.to_thread(file.read, block)
            count += sum(len(part) for part in _select(trades, within))
    return count


async def _publish(
    target: SymbolMaintenance, file: TradeFile, scan: FileScan, unstored: Sequence[IdRange], last: int | None
) -> AsyncIterator[int]:
    """Publish the trades with some ids: those above all stored ones ascending, then the others descending.

    So each entry adjoins what is stored, but for ids that the file lacks. Yields how many were published.
    """
    above = (last if last is not None else -1) + 1
    for blocks, ids, rising in (
        (scan.blocks, (above, scan.ids[1]), True),
        (scan.blocks[::-1], (scan.ids[0], above - 1), False),
    ):
        wanted = [part for part in (intersect_ranges(item, ids) for item in unstored) if part is not None]
        for block in blocks:
            if within := _within(wanted, block):
                trades = await asyncio.to_thread(file.read, block)
                entries = list(_entries(_select(trades, within), rising=rising))
                for start in range(0, len(entries), _ENTRIES_AT_ONCE):
                    group = entries[start : start + _ENTRIES_AT_ONCE]
                    await target.publisher.publish_past_entries(group)
                    await _wait_for_workers(target)
                    yield sum(map(len, group))


async def _wait_for_workers(target: SymbolMaintenance) -> None:
    """Wait until workers have caught up.

    Raises:
        FatalError: none is running.
    """
    while True:
        try:
            async with asyncio.timeout(_STALLED_S):
                await target.publisher.wait_for_budget()
        except TimeoutError:
            await target.require_worker()
        else:
            return


async def _read_unstored(target: SymbolMaintenance, ids: IdRange) -> list[IdRange]:
    """Return those of some ids under which no trade is stored, void ones among them."""
    ledger = await target.read_ledger()
    if ledger is None:
        return [ids]
    stored = [(ledger.first_trade_id, ledger.last_trade_id)]
    for gaps in (ledger.missing, ledger.void):
        stored = [part for whole in stored for part in subtract_ranges(whole, gaps)]
    return subtract_ranges(ids, stored)


async def _compare(
    target: SymbolMaintenance, trades: TradeColumns, block: Block, ids: Sequence[IdRange]
) -> tuple[int, list[TradeDifference]]:
    """Compare trades with the stored ones of the same ids; those removed by age are left out."""
    in_file = {trade.trade_id: trade for part in _select(trades, ids) for trade in part.trades()}
    after, before = TradeBound(block.first_us - 1_001, 2**62), TradeBound(block.last_us + 1_002)
    compared, differences = 0, list[TradeDifference]()
    while True:
        async with snapshot(target.pool, timeout_s=_READ_S) as connection:
            rows = await read_trades(
                connection, target.symbol, after=after, before=before, limit=_COMPARED_AT_ONCE
            )
        for stored in rows:
            trade = in_file.get(stored.trade_id)
            if trade is not None:
                compared += 1
                if not is_same_trade(stored, trade) or stored.side not in (None, trade.side):
                    differences.append(TradeDifference(stored, trade))
        if len(rows) < _COMPARED_AT_ONCE:
            return compared, differences
        after = TradeBound(rows[-1].event_time_us, rows[-1].trade_id)


def _within(ranges: Sequence[IdRange], block: Block) -> list[IdRange]:
    """Return the parts of ascending ranges that are in a block."""
    parts = (intersect_ranges(part, (block.first_id, block.last_id)) for part in ranges)
    return [part for part in parts if part is not None]


def _select(trades: TradeColumns, ids: Sequence[IdRange]) -> list[TradeColumns]:
    """Return the trades with ids in ascending ranges, a part for each range that has any."""
    if trades.consecutive:
        first, places = trades.lowest_id, None
    else:
        first, places = 0, trades.ids
    parts = []
    for low, high in ids:
        start = low - first if places is None else bisect_left(places, low)
        stop = high - first + 1 if places is None else bisect_left(places, high + 1)
        if stop > start:
            parts.append(trades.slice(start, stop))
    return parts


def _entries(parts: Sequence[TradeColumns], *, rising: bool) -> Iterator[TradeColumns]:
    """Yield the trades of each entry, ascending or descending; trades within an entry ascend."""
    for part in parts if rising else reversed(parts):
        if rising:
            for start in range(0, len(part), MAX_TRADES_PER_ENTRY):
                yield part.slice(start, start + MAX_TRADES_PER_ENTRY)
        else:
            for end in range(len(part), 0, -MAX_TRADES_PER_ENTRY):
                yield part.slice(max(0, end - MAX_TRADES_PER_ENTRY), end)
