"""`tickplant verify`: compares stored candles with the venue's own, and repairs them."""

import logging
import sys
from argparse import ArgumentParser, Namespace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tickplant import interrupts
from tickplant.cli.audit import print_comparison
from tickplant.cli.database_arguments import TIME_FORMS, parse_time
from tickplant.settings import Settings
from tickplant.settings_reader import read_settings
from tickplant.times import format_second

if TYPE_CHECKING:
    from tickplant.klines import Comparison

HELP: Final = "compare candles with the venue's own, and repair what differs"

DESCRIPTION: Final = """\
Compare the stored candles of one minute with those that the venue gives over REST, digit by digit. The trades
of each minute that differs or is not stored, or of which fewer trades are stored than its candle counts, are
fetched and replace the stored ones, and all candles that the minute belongs to are recomputed. Then these
minutes are compared again.

It runs beside a running plant: Redis, the database and a worker have to be running; ingest need not be. Only
closed minutes are compared, and only those are repaired whose trades have not been removed by age
(TICKPLANT_KEEP_TRADES_DAYS).

The exit code is 0 if everything agrees in the end, and 1 if anything still differs.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_REDIS_URL, TICKPLANT_DATABASE_URL (or the servers of a running `tickplant up`),
  TICKPLANT_PARTITIONS, TICKPLANT_<VENUE>_REST_URL

examples:
  tickplant verify binance:BTCUSDT
  tickplant verify binance:BTCUSDT --from 2026-11-01 --to 2026-11-02 --dry-run
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("symbol", metavar="VENUE:SYMBOL", help="such as binance:BTCUSDT")
    parser.add_argument(
        "--from",
        dest="start",
        type=parse_time,
        metavar="TIME",
        help=f"first moment: {TIME_FORMS}; the first stored trade unless given",
    )
    parser.add_argument(
        "--to",
        dest="end",
        type=parse_time,
        metavar="TIME",
        help="last moment, exclusive; the last closed minute unless given",
    )
    parser.add_argument("--dry-run", action="store_true", help="compare only, and repair nothing")


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    settings = read_settings()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    return interrupts.run(_verify(settings, args))


async def _verify(settings: Settings, args: Namespace) -> int:
    from maintenance.symbol import open_symbol
    from maintenance.verify import verify

    async with open_symbol(settings, args.symbol, application="tickplant verify") as target:
        agrees = await verify(
            target,
            args.start,
            args.end,
            repair=not args.dry_run,
            specs=settings.average_specs if "averages" in settings.roles else None,
            observer=_Printer(),
        )
    return 0 if agrees else 1


class _Printer:
    """Prints what a verification finds and does: `maintenance.verify.VerifyObserver`."""

    def compared(self, comparison: "Comparison", minutes: int) -> None:
        print_comparison(comparison)
        given = comparison.matched + comparison.differing + len(comparison.uncovered)
        if given < minutes:
            print(f"the venue gives no candles for {minutes - given:,} of {minutes:,} minutes")

    def lost(self, minutes: int) -> None:
        print(f"{minutes:,} minutes have fewer stored trades than their candles count")

    def not_repairable(self, horizon: datetime) -> None:
        print(
            f"minutes before {horizon:%Y-%m-%dT%H:%M:%SZ} are not repaired: their trades have been removed"
            " by age (TICKPLANT_KEEP_TRADES_DAYS)"
        )

    def fetched(self, trades: int, start_us: int) -> None:
        print(f"fetched {trades:,} trades from {format_second(start_us)} on", flush=True)

    def compared_again(self, comparison: "Comparison") -> None:
        print("compared again:")
        print_comparison(comparison)
