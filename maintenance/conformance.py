"""The conformance report: how stored candles compare with the venue's own, with the causes of differences.

The same stored data and answers of the venue give the same report: it has no time of its own making.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Final

from db.audit import read_minutes
from db.conformance import StoredMinute, read_stored_minutes, read_stored_span
from db.pool import DatabaseConnection, snapshot
from db.provenance import read_database_source
from db.trades import TradeBound, read_trades
from maintenance.conformance_report import CAUSES, Cause, Column, MinuteDifference, Minutes, SymbolReport
from maintenance.symbol import SymbolMaintenance
from maintenance.verify import closed_minutes, compare_minutes
from tickplant.intervals import MINUTE_US, floor
from tickplant.klines import COLUMNS, Comparison, Kline, Mismatch
from tickplant.market import EXACT, SymbolId, fold
from tickplant.provenance import DataSource
from tickplant.times import format_second, to_us

_ROUNDINGS: Final = (ROUND_HALF_UP, ROUND_HALF_EVEN, ROUND_DOWN)
_WIDE: Final = Context(prec=EXACT.prec)
_MINUTES_AT_ONCE: Final = 500
_READ_S: Final = 60.0
_MOST_TRADES: Final = 2_000_000
"""Of one minute, to compute its candle again."""


async def read_source(target: SymbolMaintenance) -> DataSource:
    """Return the source of the stored trades."""
    return await read_database_source(target.pool) or "live"


async def report_symbol(
    target: SymbolMaintenance,
    start: datetime | None,
    end: datetime | None,
    on_progress: Callable[[int, int], None],
) -> SymbolReport:
    """Compare closed minutes with the venue's candles, and find the causes of differences.

    Args:
        target: the symbol.
        start: the first moment; None for that of the first stored trade.
        end: the last moment, exclusive; None for that of the last closed minute.
        on_progress: takes the minutes compared, and those to compare.

    Raises:
        FatalError: no minute has closed in that time, or the venue refuses to give candles.
    """
    first_us, end_us = minutes = await closed_minutes(target, start, end)
    comparison, lost = await compare_minutes(target, [minutes], on_progress)
    wrong = {mismatch.open_time_us for mismatch in comparison.mismatches} | {*comparison.uncovered, *lost}
    differences: list[MinuteDifference] = []
    for begin in range(0, len(wrong), _MINUTES_AT_ONCE):
        times_us = sorted(wrong)[begin : begin + _MINUTES_AT_ONCE]
        differences += await _explain(target, comparison, frozenset(lost), times_us)
    async with snapshot(target.pool, timeout_s=_READ_S) as connection:
        stored = await read_stored_span(connection, target.symbol, first_us, end_us)
    differing = wrong.difference(comparison.uncovered)
    compared = comparison.matched + comparison.differing + len(comparison.uncovered)
    requested_us = floor(to_us(end), MINUTE_US) if end else end_us
    causes = Counter(difference.cause for difference in differences)
    return SymbolReport(
        symbol=str(target.symbol),
        first=format_second(first_us),
        end=format_second(end_us),
        minutes=Minutes(
            compared=compared,
            matched=compared - len(differing) - len(comparison.uncovered),
            differing=len(differing),
            not_stored=len(comparison.uncovered),
            not_given=(end_us - first_us) // MINUTE_US - compared,
            not_closed=max(0, requested_us - end_us) // MINUTE_US,
            incomplete=len(comparison.incomplete),
            late=stored.late,
        ),
        trades=stored.trades,
        missing_trades=stored.missing,
        void_ids=stored.void,
        causes={cause: causes[cause] for cause in CAUSES},
        differences=differences,
    )


async def _explain(
    target: SymbolMaintenance, comparison: Comparison, lost: frozenset[int], times_us: Sequence[int]
) -> list[MinuteDifference]:
    """Return the differences of some minutes with their causes."""
    symbol = target.symbol
    horizon = await target.read_horizon()
    by_minute: dict[int, list[Mismatch]] = {time_us: [] for time_us in times_us}
    for mismatch in comparison.mismatches:
        if mismatch.open_time_us in by_minute:
            by_minute[mismatch.open_time_us].append(mismatch)
    found = []
    async with snapshot(target.pool, timeout_s=_READ_S) as connection:
        ours = await read_minutes(connection, symbol, times_us)
        for minute in await read_stored_minutes(connection, symbol, times_us):
            time_us = minute.open_time_us
            mismatches = by_minute[time_us]
            complete = time_us in ours and ours[time_us].complete
            if horizon is not None and time_us < to_us(horizon):
                cause: Cause = "trades removed by age"
            elif time_us in lost:
                cause = "rows lost"
            elif time_us in ours and not await _is_of_its_trades(connection, symbol, ours[time_us]):
                cause = "candle differs from its trades"
            else:
                cause = _cause(minute, mismatches, complete=complete)
            columns = [Column(each.column, each.venue, each.ours) for each in mismatches]
            found.append(
                MinuteDifference(
                    open_time=format_second(time_us),
                    kind="differs" if time_us in ours else "not stored",
                    cause=cause,
                    complete=complete,
                    missing_trades=minute.missing,
                    late_trades=minute.revision,
                    columns=columns,
                )
            )
    return found


def _cause(minute: StoredMinute, mismatches: Sequence[Mismatch], *, complete: bool) -> Cause:
    """Return the cause of a difference of a minute whose candle is that of its trades, or that has none."""
    if minute.is_first and not complete:
        return "before the first trade"
    if minute.missing:
        return "missing trades"
    if minute.void:
        return "void ids"
    if mismatches and all(is_rounded(each.venue, each.ours) for each in mismatches):
        return "rounding of the venue"
    return "late trades" if minute.revision else "unexplained"


def is_rounded(venue: str, ours: str) -> bool:
    """Return whether the venue's value is ours, rounded to its number of decimal places."""
    theirs, own = Decimal(venue), Decimal(ours)
    try:
        rounded: Iterable[Decimal] = [
            own.quantize(theirs, rounding=rounding, context=_WIDE) for rounding in _ROUNDINGS
        ]
    except InvalidOperation:
        return False
    return theirs in rounded


async def _is_of_its_trades(connection: DatabaseConnection, symbol: SymbolId, stored: Kline) -> bool:
    """Return whether the stored candle of a minute is that of the stored trades."""
    trades = await read_trades(
        connection,
        symbol,
        after=TradeBound(stored.open_time_us),
        before=TradeBound(stored.open_time_us + MINUTE_US),
        limit=_MOST_TRADES,
    )
    computed = fold(trades)
    return len(computed) == 1 and all(
        getattr(computed[0], column) == getattr(stored, column)
        for column in COLUMNS
        if getattr(stored, column) is not None
    )
