"""Audits: the stored candles compared with the stored trades, or with a file of the venue's candles."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Final

from db.archive_rows import day_start
from db.audit import (
    IdProblem,
    SymbolAudit,
    audit_day,
    audit_symbol,
    read_audit_symbols,
    read_minutes,
    snapshot_on,
)
from db.pool import DatabaseConnection
from db.symbols import read_stored_symbols
from maintenance.archive.span import read_archived_span
from tickplant.klines import Comparison, Kline, compare
from tickplant.market import SymbolId
from tickplant.trade_rules import LATEST_US

_KLINES_AT_ONCE: Final = 10_000


async def audit(
    connection: DatabaseConnection,
    select: Callable[[Sequence[SymbolId]], Iterable[SymbolId]],
    on_progress: Callable[[SymbolId, int, int], None],
) -> list[SymbolAudit]:
    """Audit symbols one by one, all in one snapshot.

    Args:
        connection: to the database.
        select: takes the symbols of which anything is stored, and returns those to audit.
        on_progress: takes a symbol, how many of its days are done, and how many there are.
    """
    async with snapshot_on(connection):
        symbols = select(await read_audit_symbols(connection))
        return [await audit_symbol(connection, symbol, partial(on_progress, symbol)) for symbol in symbols]


async def audit_archived(
    connection: DatabaseConnection,
    url: str,
    audits: Sequence[SymbolAudit],
    on_progress: Callable[[SymbolId, int, int], None],
) -> None:
    """Audit the days whose trades only the archive has any more; add the results to those of their symbols.

    Args:
        connection: to the database.
        url: of the archive.
        audits: of symbols, without these days.
        on_progress: takes a symbol, how many of these days are done, and how many there are.

    Raises:
        FatalError: the archive can't be read, or is damaged.
    """
    for result in audits:
        past = await read_archived_span(connection, url, result.symbol, 0, LATEST_US)
        for number, manifest in enumerate(past.days, start=1):
            async with past.in_place(connection, manifest), snapshot_on(connection):
                found = await audit_day(connection, result.symbol, day_start(manifest.day))
            result.trades += found.trades
            result.candles += found.candles
            result.not_checkable -= found.candles
            result.differences += found.differences
            result.ids += [IdProblem("duplicate", trade_id, trade_id) for trade_id in found.duplicates]
            on_progress(result.symbol, number, len(past.days))


async def compare_klines(
    connection: DatabaseConnection, select: Callable[[Sequence[SymbolId]], SymbolId], klines: Iterator[Kline]
) -> Comparison:
    """Compare the stored minutes of a symbol with a venue's candles, in one snapshot.

    Args:
        connection: to the database.
        select: takes the symbols that have trades, and returns the one to compare.
        klines: the venue's.
    """
    comparison = Comparison()
    async with snapshot_on(connection):
        symbol = select([row.id for row in await read_stored_symbols(connection)])
        while batch := list(islice(klines, _KLINES_AT_ONCE)):
            times = [kline.open_time_us for kline in batch]
            compare(batch, await read_minutes(connection, symbol, times), comparison)
    return comparison
