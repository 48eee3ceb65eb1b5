"""Verification: compares stored candles with the venue's own, and repairs the minutes that differ."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from db.audit import read_lost_minutes, read_minutes
from db.pool import snapshot
from db.repair import delete_minutes, holds_trades_below
from ingest.history.fill import publish_fetched
from ingest.history.page import PAGE_IDS
from ingest.history.ranges import subtract_ranges
from maintenance.symbol import SymbolMaintenance
from tickplant.averages import AverageSpecs
from tickplant.errors import FatalError
from tickplant.intervals import MINUTE_US, floor
from tickplant.klines import Comparison, compare
from tickplant.times import format_second, to_us

OnProgress = Callable[[int, int], None]
"""Takes the minutes compared, and those to compare."""

TimeRange = tuple[int, int]
"""Start and exclusive end, in microseconds since the epoch."""

_MOST_REPAIRED_US: Final = 10 * MINUTE_US
"""The longest range repaired at once: its trades are in memory, and the transaction must be short."""
_READ_S: Final = 60.0


class VerifyObserver(Protocol):
    """Receives what a verification finds and does, in this order."""

    def compared(self, comparison: Comparison, minutes: int) -> None:
        """All minutes have been compared; `minutes` is how many there are in the time range."""

    def lost(self, minutes: int) -> None:
        """Minutes whose candles count more trades than are stored."""

    def not_repairable(self, horizon: datetime) -> None:
        """Minutes before a time can't be repaired, since their trades were removed by age."""

    def fetched(self, trades: int, start_us: int) -> None:
        """The trades of a range that differs have been fetched, from a moment on."""

    def compared_again(self, comparison: Comparison) -> None:
        """The repaired minutes have been compared again."""


async def verify(
    target: SymbolMaintenance,
    start: datetime | None,
    end: datetime | None,
    *,
    repair: bool,
    specs: AverageSpecs | None,
    observer: VerifyObserver,
    on_progress: OnProgress = lambda done, total: None,
) -> bool:
    """Compare closed minutes with the venue's candles, and repair those that differ or whose trades are lost.

    Args:
        target: the symbol.
        start: the first moment; None for that of the first stored trade.
        end: the last moment, exclusive; None for now.
        repair: whether to repair what differs.
        specs: which averages are computed; None for none.
        observer: receives the results.
        on_progress: takes the minutes compared, and those to compare.

    Returns:
        Whether everything agrees in the end.

    Raises:
        FatalError: no minute has closed in that time, the venue refuses to give candles or trades, or no
            worker stores the trades.
    """
    minutes = await closed_minutes(target, start, end)
    comparison, lost = await compare_minutes(target, [minutes], on_progress)
    observer.compared(comparison, (minutes[1] - minutes[0]) // MINUTE_US)
    if lost:
        observer.lost(len(lost))
    wrong = wrong_ranges(comparison, lost)
    repairable = await _repairable(target, wrong, observer) if repair else []
    if not repairable:
        return not wrong
    await target.require_worker()
    for start_us, end_us in repairable:
        await _repair(target, start_us, end_us, specs, observer)
    comparison, lost = await compare_minutes(target, repairable)
    observer.compared_again(comparison)
    return not wrong_ranges(comparison, lost) and len(repairable) == len(wrong)


def wrong_ranges(comparison: Comparison, lost: Iterable[int]) -> list[TimeRange]:
    """Return minutes that differ, are not stored or have lost trades; neighbours are joined, up to ten."""
    minutes = {mismatch.open_time_us for mismatch in comparison.mismatches} | {*comparison.uncovered, *lost}
    ranges: list[TimeRange] = []
    for minute in sorted(minutes):
        if ranges and ranges[-1][1] == minute < ranges[-1][0] + _MOST_REPAIRED_US:
            ranges[-1] = ranges[-1][0], minute + MINUTE_US
        else:
            ranges.append((minute, minute + MINUTE_US))
    return ranges


async def closed_minutes(
    target: SymbolMaintenance, start: datetime | None, end: datetime | None
) -> TimeRange:
    """Return the range from the first minute to compare to the end of the last.

    Raises:
        FatalError: there is none.
    """
    ledger = await target.read_ledger()
    if ledger is None:
        raise FatalError(f"no trades of {target.symbol} are stored; `tickplant backfill` fetches them")
    start_us = to_us(start) if start else await target.read_first_minute()
    end_us = min(to_us(end or datetime.now(UTC)), ledger.watermark_us)
    minutes = floor(start_us, MINUTE_US), floor(end_us, MINUTE_US)
    if minutes[0] >= minutes[1]:
        raise FatalError(f"no minute of {target.symbol} has closed in that time")
    return minutes


async def compare_minutes(
    target: SymbolMaintenance,
    ranges: Sequence[TimeRange],
    on_progress: OnProgress = lambda done, total: None,
) -> tuple[Comparison, list[int]]:
    """Compare minutes with the venue's, request by request, and return those with lost trades, too.

    Raises:
        FatalError: the venue refuses to give candles.
    """
    comparison = Comparison()
    lost: list[int] = []
    total, done = sum(end_us - start_us for start_us, end_us in ranges) // MINUTE_US, 0
    for start_us, end_us in ranges:
        async for klines in target.read_klines(start_us, end_us):
            times = [kline.open_time_us for kline in klines]
            async with snapshot(target.pool, timeout_s=_READ_S) as connection:
                compare(klines, await read_minutes(connection, target.symbol, times), comparison)
                if times:
                    lost += await read_lost_minutes(
                        connection, target.symbol, min(times), max(times) + MINUTE_US
                    )
                    on_progress(done + (max(times) + MINUTE_US - start_us) // MINUTE_US, total)
        done += (end_us - start_us) // MINUTE_US
        on_progress(done, total)
    return comparison, lost


async def _repairable(
    target: SymbolMaintenance, ranges: Sequence[TimeRange], observer: VerifyObserver
) -> Sequence[TimeRange]:
    """Return the ranges whose trades were not removed by age.

    Elsewhere, fetched trades could not be distinguished from those that a neighbouring candle still contains.
    """
    horizon = await target.read_horizon()
    if horizon is None:
        return ranges
    kept = [part for part in ranges if part[0] >= to_us(horizon)]
    if len(kept) < len(ranges):
        observer.not_repairable(horizon)
    return kept


async def _repair(
    target: SymbolMaintenance,
    start_us: int,
    end_us: int,
    specs: AverageSpecs | None,
    observer: VerifyObserver,
) -> None:
    """Fetch the trades of some minutes, and replace what is stored by them.

    Raises:
        FatalError: the venue doesn't give them all; nothing has changed.
    """
    ids = await target.find_ids(start_us, end_us)
    if ids is None:
        raise FatalError(f"{target.symbol}: the venue has candles but no trades at {format_second(start_us)}")
    await _require_reach(target, start_us, end_us, ids[0])
    fetched = await target.search.read(*ids)
    given = sorted([*fetched.void, *((trade.trade_id, trade.trade_id) for trade in fetched.trades)])
    if lacking := subtract_ranges(ids, given):
        raise FatalError(
            f"{target.symbol}: the venue doesn't give trades {lacking[0][0]} to {lacking[-1][1]}"
        )
    observer.fetched(len(fetched.trades), start_us)
    gaps = await delete_minutes(
        target.pool, target.partition, target.symbol, start_us, end_us, ids, specs=specs
    )
    await target.publish_gaps(gaps)
    ledger = await target.read_ledger()
    rising = ledger is not None and ids[1] >= ledger.first_trade_id
    await publish_fetched(target.publisher, target.symbol, fetched, rising=rising)
    await target.wait_for_commit()


async def _require_reach(target: SymbolMaintenance, start_us: int, end_us: int, first_id: int) -> None:
    """Check that the venue's history doesn't begin within minutes of which earlier trades are stored.

    Args:
        target: the symbol.
        start_us: of the minutes.
        end_us: likewise, exclusive.
        first_id: of the venue's first trade in them.

    Raises:
        FatalError: it does: what it no longer has can't be replaced, nor is it known to be wrong.
    """
    async with snapshot(target.pool, timeout_s=_READ_S) as connection:
        if not await holds_trades_below(connection, target.symbol, start_us, end_us, first_id):
            return
    before = await target.search.read(max(0, first_id - PAGE_IDS), first_id - 1)
    if not before.trades:
        raise FatalError(
            f"{target.symbol}: the venue's history begins with trade {first_id}, and earlier ones of the"
            f" minutes from {format_second(start_us)} on are stored: these are kept. Verify later ones"
            " with --from"
        )
