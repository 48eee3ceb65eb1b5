"""Backtests: which stored trades they read, and feeding these to `workers.backtest.Backtest`."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final, NamedTuple

from msgspec.structs import replace

from db.averages import CandleWindow
from db.candles import read_candles
from db.export import ExportSelection, estimate_rows
from db.pool import DatabaseConnection
from db.symbols import read_coverage
from db.trades import stream_trades
from maintenance.archive.span import ArchivedSpan
from tickplant.averages import AverageSpecs
from tickplant.bot import Rules
from tickplant.errors import UsageError
from tickplant.intervals import BASE, HOUR_US, INTERVALS, SECOND_US, floor
from tickplant.market import SymbolId, Trade
from tickplant.times import to_datetime, to_us
from workers.backtest import Backtest, BacktestResult
from workers.strategies import Strategy

_LAST_US: Final = 253_402_300_799_000_000  # the end of the year 9999


class BacktestRange(NamedTuple):
    """The trades that a backtest reads, by event time in microseconds since the epoch."""

    warm_up_us: int
    start_us: int
    end_us: int
    """Exclusive."""


def choose_range(
    strategies: Sequence[type[Strategy]],
    *,
    start: datetime | None,
    end: datetime | None,
    warm_up: datetime | None,
) -> BacktestRange:
    """Return the trades to read, including those that warm up the strategies.

    Args:
        strategies: to be run.
        start: inclusive; None for the first trade.
        end: exclusive; None for the last trade.
        warm_up: where the warm-up starts; None for as much as the strategies need.

    Raises:
        UsageError: the times are in the wrong order.
    """
    start_us = to_us(start) if start else 0
    end_us = to_us(end) if end else _LAST_US
    if warm_up and to_us(warm_up) > start_us:
        raise UsageError("--warm-up is after --from")
    if end_us <= start_us:
        raise UsageError("--to is not after --from")
    longest_us = max(map(INTERVALS.__getitem__, _intervals(strategies)))
    cooldown_us = round(max((strategy.cooldown_s for strategy in strategies), default=0) * SECOND_US)
    enough_us = max(HOUR_US, 2 * longest_us, 2 * cooldown_us)
    warm_up_us = to_us(warm_up) if warm_up else start_us - enough_us
    # Candles start here, too, so that the strategies' candles are whole.
    return BacktestRange(max(0, floor(warm_up_us, longest_us)), start_us, end_us)


async def run_backtest(
    connection: DatabaseConnection,
    symbol: SymbolId,
    strategies: Sequence[type[Strategy]],
    times: BacktestRange,
    past: ArchivedSpan,
    *,
    specs: AverageSpecs,
    rules: Rules,
    gap_wait_ms: int,
    on_outcome: Callable[[BacktestResult], None],
    on_progress: Callable[[int, int], None],
    is_stopped: Callable[[], bool],
) -> Backtest:
    """Feed the stored trades of a symbol to strategies and the paper bot.

    Args:
        connection: to the database, outside a transaction.
        symbol: that has trades.
        strategies: to be run.
        times: of the trades.
        past: the days whose trades are read from the archive.
        specs: the averages of the settings.
        rules: of the bot.
        gap_wait_ms: how long later trades wait for a missing one.
        on_outcome: takes what follows from each batch of trades.
        on_progress: takes the trades that are done, and an estimate of how many there are.
        is_stopped: whether to stop after the current batch.

    Returns:
        The backtest at its end.
    """
    coverage = await read_coverage(connection, symbol)
    assert coverage is not None  # it has trades
    numbered = coverage.missing is not None
    intervals = _intervals(strategies)
    needed = specs._replace(intervals=tuple(name for name in specs.intervals if name in intervals))
    backtest = Backtest(
        symbol,
        strategies,
        needed,
        replace(rules, strategies=tuple(strategy.name for strategy in strategies)),
        start_us=times.start_us,
        warm_up_us=times.warm_up_us,
        windows=await _read_windows(connection, symbol, needed, times.warm_up_us),
        numbered=numbered,
        gap_wait_ms=gap_wait_ms,
    )
    start_us, end_us = times.warm_up_us, times.end_us
    start, end = to_datetime(start_us), to_datetime(end_us)
    rows = ExportSelection(symbol=symbol, interval=None, start=start, end=end)
    done, total = 0, past.trades + await estimate_rows(connection, rows)
    trades = _stream_parts(connection, symbol, past, start_us, end_us, numbered=numbered)
    async with aclosing(trades) as batches:
        async for batch in batches:
            on_outcome(backtest.feed(batch))
            done += len(batch)
            on_progress(done, total)
            if is_stopped():
                return backtest
    on_outcome(backtest.end(min(end_us - 1, coverage.watermark_us)))
    return backtest


async def _stream_parts(
    connection: DatabaseConnection,
    symbol: SymbolId,
    past: ArchivedSpan,
    start_us: int,
    end_us: int,
    *,
    numbered: bool,
) -> AsyncGenerator[list[Trade], None]:
    """Yield the trades of a time range in batches, those of archived days first."""
    async with aclosing(past.parts(connection, start_us, end_us)) as parts:
        async for first_us, last_us in parts:
            trades = stream_trades(connection, symbol, start_us=first_us, end_us=last_us, numbered=numbered)
            async with aclosing(trades) as batches:
                async for batch in batches:
                    yield batch


def _intervals(strategies: Sequence[type[Strategy]]) -> list[str]:
    """Return the intervals whose candles are needed."""
    read = {interval for strategy in strategies for interval in strategy.intervals}
    return [interval for interval in INTERVALS if interval in read or interval == BASE]


async def _read_windows(
    connection: DatabaseConnection, symbol: SymbolId, specs: AverageSpecs, until_us: int
) -> dict[str, CandleWindow]:
    """Return the candles before a moment that averages resume from, by interval."""
    windows = {}
    for interval in filter(specs.window, INTERVALS):
        limit = specs.window(interval)
        candles = await read_candles(
            connection, symbol, interval, start_us=0, end_us=until_us, limit=limit, newest=True
        )
        windows[interval] = CandleWindow(
            [candle.open_time_us for candle in candles],
            [float(candle.close) for candle in candles],
            [candle.last_event_time_us for candle in candles],
            [candle.last_trade_id for candle in candles],
        )
    return windows
