"""`tickplant backtest`: runs strategies and the paper bot over stored trades."""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from signal import SIGINT, signal
from typing import Final

from tickplant import interrupts
from tickplant.cli.database_arguments import (
    TIME_FORMS,
    find_symbol,
    open_database,
    parse_time,
    warn_of_removed_trades,
)
from tickplant.cli.progress import progress_bars
from tickplant.errors import UsageError
from tickplant.settings import Settings, variable
from tickplant.settings_reader import read_settings
from tickplant.times import to_datetime

HELP: Final = "run strategies over stored trades: their signals, fills and profit"

DESCRIPTION: Final = """\
Run strategies over the stored trades of one symbol, with the code that runs live, and print each signal, the
paper bot's orders and fills, and a summary. Nothing is stored, and no venue is contacted.

The signals equal those of live workers, unless these had to continue without a trade that was stored later.
Strategies are warmed up with the trades before --from: at least one hour, or two candles of the longest
interval that they read; --warm-up sets an earlier start.

One account follows all signals, by the settings of the paper bot: a market order is filled at the price of
the next trade, worsened by slippage, and pays a fee. Ctrl-C stops and prints the summary so far.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_STRATEGIES, TICKPLANT_DATABASE_URL (or the embedded server, started if need be),
  TICKPLANT_BOT_CASH, TICKPLANT_BOT_ORDER, TICKPLANT_BOT_FEE_BPS, TICKPLANT_BOT_SLIPPAGE_BPS and others

examples:
  tickplant backtest --strategy cross --symbol binance:BTCUSDT --from 2026-11-01 --to 2026-11-08
  tickplant backtest --strategy 'cross?intervals=1h&averages=ema_12+ema_26' --symbol BTCUSDT
  tickplant backtest --strategy my_package.my_module:MyStrategy --symbol BTCUSDT --json > result.jsonl
"""


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
        " TICKPLANT_STRATEGIES; may be given several times; without it, the strategies of the settings",
    )
    parser.add_argument(
        "--from", dest="start", type=parse_time, metavar="TIME", help=f"first moment, inclusive: {TIME_FORMS}"
    )
    parser.add_argument("--to", dest="end", type=parse_time, metavar="TIME", help="last moment, exclusive")
    parser.add_argument(
        "--warm-up", type=parse_time, metavar="TIME", help="warm up with the trades from here to --from"
    )
    parser.add_argument("--json", action="store_true", help="a JSON object a line, the last a summary")


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    return interrupts.run(_backtest(read_settings(), args))


async def _backtest(settings: Settings, args: Namespace) -> int:
    from db.symbols import read_stored_symbols
    from maintenance.archive.span import read_archived_span
    from maintenance.backtest import choose_range, run_backtest
    from tickplant.cli.backtest_report import BacktestReport
    from tickplant.cli.strategies import load_named
    from workers.strategies.user_code import hide_event_loop

    hide_event_loop()
    words = args.strategy or settings.strategies
    source = "--strategy" if args.strategy else variable("strategies")
    if not words:
        raise UsageError(f"{source} names no strategy; --strategy does")
    strategies = load_named(settings, words, settings.average_specs, source=source)
    times = choose_range(strategies, start=args.start, end=args.end, warm_up=args.warm_up)
    report = BacktestReport(json=args.json)
    async with open_database(settings, application="tickplant backtest") as connection:
        symbol = find_symbol(args.symbol, [row.id for row in await read_stored_symbols(connection)])
        past = await read_archived_span(
            connection, settings.archive_url, symbol, times.warm_up_us, times.end_us
        )
        await warn_of_removed_trades(connection, symbol, to_datetime(times.warm_up_us), past)
        interrupted = _on_interrupt()
        with progress_bars() as bars:
            task = bars.add_task("trades", total=None)
            test = await run_backtest(
                connection,
                symbol,
                strategies,
                times,
                past,
                specs=settings.average_specs,
                rules=settings.bot_rules,
                gap_wait_ms=round(settings.gap_wait_s * 1000),
                on_outcome=report.report,
                on_progress=lambda done, total: bars.update(task, completed=done, total=total),
                is_stopped=interrupted.is_set,
            )
    report.sum_up(test, interrupted=interrupted.is_set())
    return 130 if interrupted.is_set() else 0


def _on_interrupt() -> asyncio.Event:
    """Return an event that the first Ctrl-C sets; the second one ends the process."""
    interrupted = asyncio.Event()

    def interrupt(*_: object) -> None:
        if interrupted.is_set():
            os._exit(128 + SIGINT)
        interrupted.set()

    # A handler of the loop would wait until the trades that are being processed are done.
    asyncio.get_running_loop().remove_signal_handler(SIGINT)
    signal(SIGINT, interrupt)
    return interrupted
