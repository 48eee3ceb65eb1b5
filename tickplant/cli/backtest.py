"""`tickplant backtest`: strategies and the paper bot over stored trades."""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import aclosing
from signal import SIGINT
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from tickplant import interrupts
from tickplant.cli.database_arguments import find_symbol, open_database, parse_moment, tell_removed
from tickplant.cli.progress import progress_bars
from tickplant.errors import FatalError
from tickplant.intervals import BASE, HOUR_US, INTERVALS, SECOND_US, floor
from tickplant.settings import Settings, read_settings, variable
from tickplant.times import to_datetime, to_us

if TYPE_CHECKING:
    from db.averages import CandleWindow
    from db.pool import Connection
    from tickplant.averages import AverageSpecs
    from tickplant.market import SymbolId
    from workers.backtest import Backtest
    from workers.strategies import Strategy

HELP: Final = "run strategies over stored trades: their signals, fills and profit"

DESCRIPTION: Final = """\
Run strategies over the stored trades of one symbol, by the same code that runs live, and print each signal,
what the paper bot makes of it, and what that comes to. Nothing is stored, and no venue is asked.

The signals are those that workers said of the same trades, but where these had to go on without a trade that
was stored later. To hold the same opinions as they did at --from, strategies are warmed up with the trades
before it: at least an hour, or two candles of the longest interval that is read; --warm-up takes more.

One account follows all signals, by the rules of the paper bot in settings: a market order is filled at the
price of the next trade, made worse by slippage, and pays a fee. Ctrl-C ends with what there is so far.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_STRATEGIES, TICKPLANT_DATABASE_URL (or the embedded server, started if need be),
  TICKPLANT_BOT_CASH, TICKPLANT_BOT_ORDER, TICKPLANT_BOT_FEE_BPS, TICKPLANT_BOT_SLIPPAGE_BPS and others

examples:
  tickplant backtest --strategy cross --symbol binance:BTCUSDT --from 2026-11-01 --to 2026-11-08
  tickplant backtest --strategy 'cross?intervals=1h&averages=ema_12+ema_26' --symbol BTCUSDT
  tickplant backtest --strategy my_package.my_module:MyStrategy --symbol BTCUSDT --json > result.jsonl
"""

_STRETCH: Final = "a date, an RFC 3339 time, or milliseconds since 1970"
_LAST_US: Final = 253_402_300_799_000_000  # the end of the year 9999


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--symbol",
        required=True,
        metavar="VENUE:SYMBOL",
        help="such as binance:BTCUSDT; BTCUSDT if unambiguous",
    )
    parser.add_argument(
        "--strategy",
        action="append",
        metavar="NAME",
        help="dip, cross, hop, anomaly, or package.module:Class of your own, perhaps with parameters, as in"
        " TICKPLANT_STRATEGIES; may be given several times; all of these settings unless given",
    )
    parser.add_argument(
        "--from", dest="start", type=parse_moment, metavar="TIME", help=f"first moment, inclusive: {_STRETCH}"
    )
    parser.add_argument("--to", dest="end", type=parse_moment, metavar="TIME", help="last moment, exclusive")
    parser.add_argument(
        "--warm-up", type=parse_moment, metavar="TIME", help="warm up with the trades from here to --from"
    )
    parser.add_argument("--json", action="store_true", help="a JSON object a line, the last a summary")


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    return interrupts.run(_backtest(read_settings(), args))


class BacktestRange(NamedTuple):
    """Of time, in microseconds since the epoch."""

    warm_up_us: int
    start_us: int
    end_us: int
    """Exclusive."""


async def _backtest(settings: Settings, args: Namespace) -> int:
    from db.export import ExportSelection, estimate_rows
    from db.symbols import read_reach, read_stored_symbols
    from db.trades import stream_trades
    from tickplant.cli.backtest_report import BacktestReport
    from tickplant.cli.strategies import load_named
    from workers.strategies.user_code import hide_event_loop

    hide_event_loop()
    words = args.strategy or settings.strategies
    source = "--strategy" if args.strategy else variable("strategies")
    if not words:
        raise FatalError(f"{source} names no strategy; --strategy does")
    strategies = load_named(settings, words, settings.average_specs, source=source)
    stretch = _stretch(args, strategies)
    report = BacktestReport(json=args.json)
    async with open_database(settings, application="tickplant backtest") as connection:
        symbol = find_symbol(args.symbol, [row.id for row in await read_stored_symbols(connection)])
        reach = await read_reach(connection, symbol)
        assert reach is not None  # it is known
        await tell_removed(connection, symbol, to_datetime(stretch.warm_up_us))
        numbered = reach.missing is not None
        test = await _prepare(connection, symbol, strategies, settings, stretch, numbered=numbered)
        start_us, end_us = stretch.warm_up_us, stretch.end_us
        rows = ExportSelection(
            symbol=symbol, interval=None, start=to_datetime(start_us), end=to_datetime(end_us)
        )
        trades = stream_trades(connection, symbol, start_us=start_us, end_us=end_us, numbered=numbered)
        interrupted = _on_interrupt()
        with progress_bars() as bar:
            task = bar.add_task("trades", total=await estimate_rows(connection, rows))
            async with aclosing(trades) as batches:
                async for batch in batches:
                    report.tell(test.feed(batch))
                    bar.advance(task, len(batch))
                    if interrupted.is_set():
                        break
                else:
                    report.tell(test.end(min(end_us - 1, reach.watermark_us)))
    report.sum_up(test, interrupted=interrupted.is_set())
    return 130 if interrupted.is_set() else 0


def _stretch(args: Namespace, strategies: "Sequence[type[Strategy]]") -> BacktestRange:
    """Return which trades to read.

    Raises:
        FatalError: they can't be read.
    """
    start_us = to_us(args.start) if args.start else 0
    end_us = to_us(args.end) if args.end else _LAST_US
    if args.warm_up and to_us(args.warm_up) > start_us:
        raise FatalError("--warm-up lies after --from")
    if end_us <= start_us:
        raise FatalError("--to does not lie after --from")
    longest_us = max(map(INTERVALS.__getitem__, _intervals(strategies)))
    cooldown_us = round(max((it.cooldown_s for it in strategies), default=0) * SECOND_US)
    enough_us = max(HOUR_US, 2 * longest_us, 2 * cooldown_us)
    warm_up_us = to_us(args.warm_up) if args.warm_up else start_us - enough_us
    # Candles begin here, too, so that those that are read are whole.
    return BacktestRange(max(0, floor(warm_up_us, longest_us)), start_us, end_us)


def _intervals(strategies: "Sequence[type[Strategy]]") -> list[str]:
    """Return of which candles anything is needed."""
    read = {interval for strategy in strategies for interval in strategy.intervals}
    return [interval for interval in INTERVALS if interval in read or interval == BASE]


async def _prepare(
    connection: "Connection",
    symbol: "SymbolId",
    strategies: "Sequence[type[Strategy]]",
    settings: Settings,
    stretch: BacktestRange,
    *,
    numbered: bool,
) -> "Backtest":
    from workers.backtest import Backtest

    needed = _intervals(strategies)
    averaged = tuple(interval for interval in settings.average_intervals if interval in needed)
    specs = settings.average_specs._replace(intervals=averaged)
    return Backtest(
        symbol,
        strategies,
        specs,
        replace(settings.bot_rules, strategies=tuple(strategy.name for strategy in strategies)),
        start_us=stretch.start_us,
        warm_up_us=stretch.warm_up_us,
        remembered=await _remembered(connection, symbol, specs, stretch.warm_up_us),
        numbered=numbered,
        gap_wait_ms=round(settings.gap_wait_s * 1000),
    )


async def _remembered(
    connection: "Connection", symbol: "SymbolId", specs: "AverageSpecs", until_us: int
) -> "dict[str, CandleWindow]":
    """Return the candles before a moment that averages go on from."""
    from db.averages import CandleWindow
    from db.candles import read_candles

    found = {}
    for interval in filter(specs.window, INTERVALS):
        candles = await read_candles(
            connection,
            symbol,
            interval,
            start_us=0,
            end_us=until_us,
            limit=specs.window(interval),
            newest=True,
        )
        found[interval] = CandleWindow(
            [it.open_time_us for it in candles],
            [float(it.close) for it in candles],
            [it.last_event_time_us for it in candles],
            [it.last_trade_id for it in candles],
        )
    return found


def _on_interrupt() -> asyncio.Event:
    """Return what the first Ctrl-C sets from now on; the second ends the process."""
    interrupted = asyncio.Event()

    def interrupt() -> None:
        if interrupted.is_set():
            os._exit(128 + SIGINT)
        interrupted.set()

    asyncio.get_running_loop().add_signal_handler(SIGINT, interrupt)
    return interrupted
