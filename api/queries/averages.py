"""Pages of a moving average, computed from closed candles: any kind, length and interval, stored or not."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from api.http.paging import cut_page
from api.queries.history import FIRST_US, History
from api.queries.ohlcv import Window
from db.stats import read_candle_closes
from tickplant.averages import AverageSpec, average
from tickplant.market import SymbolId


class AveragePage(NamedTuple):
    """Some values of an average, oldest first."""

    values: list[tuple[int, float]]
    """Open time of the newest candle in each, and the value."""
    rest: Window | None
    """The open times not shown yet; None where there are none."""


async def read_averages(
    history: History,
    symbol: SymbolId,
    interval: str,
    spec: AverageSpec,
    window: Window,
    limit: int,
    *,
    newest: bool,
) -> AveragePage:
    """Return the first values of a window, or the last: one a closed candle that has enough of them before.

    Args:
        history: where candles are.
        symbol: whose.
        interval: a stored one.
        spec: the average.
        window: open times of the candles.
        limit: the most candles.
        newest: whether to return the last.
    """
    low_us, high_us = window
    async with history.at_once() as connection:
        closes = await read_candle_closes(
            connection, symbol, interval, start_us=low_us, end_us=high_us, limit=limit + 1, newest=newest
        )
        if not closes:
            return AveragePage([], None)
        shown, following = cut_page(closes, limit, newest=newest)
        rest = None
        if following is not None:
            rest = Window(low_us, shown[0][0]) if newest else Window(following[0], high_us)
        first_us, more = shown[0][0], spec.window - 1
        before = await read_candle_closes(
            connection, symbol, interval, start_us=FIRST_US, end_us=first_us, limit=more, newest=True
        )
    # A page of the longest takes a quarter of a second, in which others on the event loop want their turn.
    return AveragePage(await asyncio.to_thread(_values, spec, before, shown), rest)


def _values(
    spec: AverageSpec, before: Sequence[tuple[int, float]], shown: Sequence[tuple[int, float]]
) -> list[tuple[int, float]]:
    closes = [close for _, close in (*before, *shown)]
    found = []
    for end, (open_time_us, _) in enumerate(shown, len(before) + 1):
        value = average(spec, closes[max(0, end - spec.window) : end])
        if value is not None:
            found.append((open_time_us, value))
    return found
