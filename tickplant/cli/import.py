"""`tickplant import`: stores past trades from a venue's public archive, or from files."""

import logging
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tickplant import interrupts
from tickplant.errors import UsageError
from tickplant.intervals import INTERVALS
from tickplant.settings import Settings
from tickplant.settings_reader import read_settings

if TYPE_CHECKING:
    from ingest.venues.binance_files import Period

HELP: Final = "store past trades or candles from Binance's public archive, or trades from an archive"

DESCRIPTION: Final = """\
Store the past trades of symbols from Binance's public archive, beside a running plant: Redis, the database
and a worker have to be running; ingest need not be. Files are downloaded into a cache, resumed, and verified
by their checksums. A month that has ended is one file, other days are one each.

The trades go the way of a backfill: ledger, candles of all intervals, averages and completeness are those of
live trades. Trades that are stored already are compared with the files. Ids that a file lacks, and those
between the newest file and what is stored, are gaps, which ingest fetches from the venue.

Ctrl-C stops it at any time, and nothing is lost by a crash: the same command continues. A file that is
damaged or isn't what its name says is refused before anything of it is stored.

With --archive, days that `tickplant archive` has written come back, with the ids that the venue never used:
trades, ledger and candles are those that were archived, digit by digit. Venues without trade ids are
refused if they are named, and left out otherwise.

Candles are made of all trades; trades older than TICKPLANT_KEEP_TRADES_DAYS are removed again afterwards.

With --candles, the venue's own candles are stored where its trades are not wanted: apart from those of
trades, in the table venue_candles. The function all_candles() and the API's /all-candles/SYMBOL have both,
and say of each which it is; those of trades take the place of the venue's as soon as the trades are there.

The exit code is 0 if everything is stored, and 1 if a file or symbol is missing, differs from what is stored,
or has lines or trades that can't be stored, such as those at a price of 0.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_REDIS_URL, TICKPLANT_DATABASE_URL (or the servers of a running `tickplant up`),
  TICKPLANT_PARTITIONS, TICKPLANT_BINANCE_ARCHIVE_URL

examples:
  tickplant import binance:BTCUSDT --from 2026-01 --to 2026-10
  tickplant import binance:BTCUSDT binance:ETHUSDT --from 2026-11-01
  tickplant import --candles binance:BTCUSDT --from 2020-01 --to 2025-12
  tickplant import --archive s3://market/archive
  tickplant import --files BTCUSDT-trades-2024-01-05.zip ETHUSDT-trades-2024-01.csv
  tickplant import --files capture.ndjson.gz
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "symbols", metavar="VENUE:SYMBOL", nargs="*", help="such as binance:BTCUSDT; one after the other"
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=_period,
        metavar="PERIOD",
        help="first month or day in UTC: 2026-01, 2026-01-05",
    )
    parser.add_argument(
        "--to",
        dest="end",
        type=_period,
        metavar="PERIOD",
        help="last month or day, inclusive; yesterday unless given",
    )
    parser.add_argument(
        "--files",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="in place of the archive: its zips, CSV files of the same names, or captures of frames",
    )
    parser.add_argument(
        "--candles", action="store_true", help="the venue's own candles in place of its trades"
    )
    parser.add_argument(
        "--intervals",
        type=_intervals,
        metavar="LIST",
        help=f"with --candles from the archive: which, such as 1h,1d; {', '.join(INTERVALS)} unless given",
    )
    parser.add_argument(
        "--archive",
        metavar="URL",
        help="in place of the venue's: the archive of `tickplant archive`; all its symbols and days unless"
        " some are given",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where downloaded files are kept, which may be deleted at any time; default: ~/.cache/tickplant",
    )


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    if args.files and (args.symbols or args.start or args.end):
        raise UsageError("--files names everything to import: neither symbols nor --from and --to go with it")
    if args.archive and args.files:
        raise UsageError("--archive and --files don't go together")
    if args.archive and args.candles:
        raise UsageError("--archive has candles that are made of its trades: leave out --candles")
    if args.cache and (args.archive or args.files):
        raise UsageError("--cache is for downloads: it goes with neither --archive nor --files")
    if args.intervals and (args.files or not args.candles):
        raise UsageError("--intervals goes with --candles from the archive")
    if not args.files and not args.archive and not (args.symbols and args.start):
        raise UsageError(
            "expected symbols and --from, or --files, or --archive; see `tickplant import --help`"
        )
    settings = read_settings()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        return interrupts.run(_import(settings, args))
    except KeyboardInterrupt:
        print("\nstopped; the same command resumes here", file=sys.stderr)
        return 130


async def _import(settings: Settings, args: Namespace) -> int:
    from tickplant.cli.import_candles import import_candle_files, import_candles
    from tickplant.cli.import_sources import import_archive, import_named_files, import_own_archive

    if args.archive:
        start, end = args.start and args.start.start, args.end and args.end.end
        return await import_own_archive(settings, args.archive, args.symbols, start, end)
    if args.files:
        return await (import_candle_files if args.candles else import_named_files)(settings, args.files)
    today = datetime.now(UTC).date()
    end = args.end.end if args.end else today
    if args.start.start >= min(end, today):
        last = min(end, today) - timedelta(days=1)
        raise UsageError(f"there is no whole day from {args.start} to {last}, in UTC")
    symbols, days = list(dict.fromkeys(args.symbols)), (args.start.start, min(end, today))
    if args.candles:
        return await import_candles(settings, symbols, args.intervals, *days, cache=args.cache)
    return await import_archive(settings, symbols, *days, cache=args.cache)


def _intervals(text: str) -> list[str]:
    names = list(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in names:
        if name not in INTERVALS:
            raise ArgumentTypeError(f"{name!r} is not one of {', '.join(INTERVALS)}")
    return names


def _period(text: str) -> "Period":
    from ingest.venues.binance_files import Period

    try:
        return Period.parse(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is neither a month such as 2026-01 nor a day") from error
