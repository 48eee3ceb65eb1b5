"""Pages of a moving average, computed from closed candles: any kind, length and interval, stored or not."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from api.http.paging import cut
from api.queries.candles import OpenTimeRange
from api.queries.history import MIN_US, StoredHistory
from db.stats import read_candle_closes
from tickplant.averages import AverageSpec, average
from tickplant.intervals import CANDLE_INTERVALS
from tickplant.market import SymbolId


class AveragePage(NamedTuple):
    """A page of values of an average, oldest first."""

    values: list[tuple[int, float]]
    """Open time of the newest candle in it, and the value."""
    remaining: OpenTimeRange | None
    """The open times after the page, in the direction of paging; None if there are none."""


async def read_averages(
    history: StoredHistory,
    symbol: SymbolId,
    interval: str,
    spec: AverageSpec,
    window: OpenTimeRange,
    limit: int,
    *,
    newest: bool,
) -> AveragePage:
    """Return the first or last values of a range, one per closed candle with enough candles before it.

    Args:
        history: where candles are read.
        symbol: whose average.
        interval: a stored one.
        spec: the average.
        window: open times of the candles.
        limit: the most candles on the page.
        newest: whether to return the last ones.
    """
    start_us, end_us = window
    async with history.snapshot() as connection:
        closes = await read_candle_closes(
            connection, symbol, interval, start_us=start_us, end_us=end_us, limit=limit + 1, newest=newest
        )
        page, more = cut(closes, limit, newest=newest)
        if not page:
            return AveragePage([], None)
        first_us, last_us = page[0][0], page[-1][0]
        before = await read_candle_closes(
            connection, symbol, interval, start_us=MIN_US, end_us=first_us, limit=spec.window - 1, newest=True
        )
    remaining = (
        window.remaining(first_us, last_us, CANDLE_INTERVALS[interval], newest=newest) if more else None
    )
    # The longest average of a full page takes a quarter of a second, which would block the event loop.
    return AveragePage(await asyncio.to_thread(_values, spec, before, page), remaining)


def _values(
    spec: AverageSpec, before: Sequence[tuple[int, float]], shown: Sequence[tuple[int, float]]
) -> list[tuple[int, float]]:
    closes = [close for _, close in (*before, *shown)]
    values = []
    for end, (open_time_us, _) in enumerate(shown, len(before) + 1):
        value = average(spec, closes[max(0, end - spec.window) : end])
        if value is not None:
            values.append((open_time_us, value))
    return values
