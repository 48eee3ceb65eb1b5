"""`tickplant verify`: compares stored candles with the venue's own, and repairs them."""

import logging
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tickplant import interrupts
from tickplant.cli.audit import print_comparison
from tickplant.cli.database_arguments import TIME_FORMS, parse_time
from tickplant.cli.progress import progress_bar_or_lines
from tickplant.errors import UsageError
from tickplant.settings import Settings
from tickplant.settings_reader import read_settings
from tickplant.times import format_second

if TYPE_CHECKING:
    from maintenance.conformance_report import ConformanceReport
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

With --report, nothing is repaired: the counts, the differences and the cause of each are written to a file,
as Markdown if its name ends with .md, as JSON if it ends with .json (schema/conformance-report.json), or to
two files with these endings. The same stored data gives the same report.

The exit code is 0 if every minute that was compared agrees in the end, and 1 if anything still differs.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_REDIS_URL, TICKPLANT_DATABASE_URL (or the servers of a running `tickplant up`),
  TICKPLANT_PARTITIONS, TICKPLANT_<VENUE>_REST_URL

examples:
  tickplant verify binance:BTCUSDT
  tickplant verify binance:BTCUSDT --from 2026-11-01 --to 2026-11-02 --dry-run
  tickplant verify binance:BTCUSDT binance:ETHUSDT --from 2026-10-01 --to 2026-11-01 --report october
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("symbols", metavar="VENUE:SYMBOL", nargs="+", help="such as binance:BTCUSDT")
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
    parser.add_argument(
        "--report", type=Path, metavar="FILE[.md|.json]", help="write a conformance report; repair nothing"
    )


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    settings = read_settings()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    args.symbols = list(dict.fromkeys(args.symbols))
    return interrupts.run(_report(settings, args) if args.report else _verify(settings, args))


async def _verify(settings: Settings, args: Namespace) -> int:
    from maintenance.symbol import open_symbol
    from maintenance.verify import verify

    agrees = True
    for symbol in args.symbols:
        if len(args.symbols) > 1:
            print(f"{symbol}:")
        with progress_bar_or_lines(f"minutes of {symbol} compared") as on_progress:
            async with open_symbol(settings, symbol, application="tickplant verify") as target:
                agrees &= await verify(
                    target,
                    args.start,
                    args.end,
                    repair=not args.dry_run,
                    specs=settings.average_specs if "averages" in settings.roles else None,
                    observer=_Printer(),
                    on_progress=on_progress,
                )
    return 0 if agrees else 1


async def _report(settings: Settings, args: Namespace) -> int:
    from importlib.metadata import version

    from maintenance.conformance import read_source, report_symbol
    from maintenance.conformance_report import make_report
    from maintenance.symbol import open_symbol
    from tickplant.cli.export_files import open_output

    files = _files(args.report)
    reports = []
    for symbol in args.symbols:
        with progress_bar_or_lines(f"minutes of {symbol} compared") as on_progress:
            async with open_symbol(settings, symbol, application="tickplant verify") as target:
                reports.append(await report_symbol(target, args.start, args.end, on_progress))
                source = await read_source(target)
    report = make_report(version("tickplant"), source, reports)
    for path, encode in files.items():
        with open_output(path) as output:
            output.write(encode(report))
        print(f"{path} is written", file=sys.stderr)
    for each in reports:
        minutes = each.minutes
        causes = ", ".join(f"{count:,} {cause}" for cause, count in each.causes.items() if count)
        print(
            f"{each.symbol}: {minutes.matched:,} of {minutes.compared:,} minutes match, {minutes.differing:,}"
            f" differ, {minutes.not_stored:,} are not stored{f' ({causes})' if causes else ''}"
            f"{f'; the venue gives none for {minutes.not_given:,}' if minutes.not_given else ''}"
        )
    return 0 if report.agrees else 1


def _files(path: Path) -> "dict[Path, Callable[[ConformanceReport], bytes]]":
    """Return the files of a report, with the functions that encode it.

    Raises:
        UsageError: there is no such folder, or a file can't be written.
    """
    import msgspec

    from tickplant.cli.conformance_text import to_markdown

    encoders: dict[str, Callable[[ConformanceReport], bytes]] = {
        ".md": lambda report: to_markdown(report).encode(),
        ".json": lambda report: msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n",
    }
    suffixes = [path.suffix] if path.suffix in encoders else list(encoders)
    base = path.with_suffix("") if path.suffix in encoders else path
    files = {base.with_name(base.name + suffix): encoders[suffix] for suffix in suffixes}
    if not path.parent.is_dir():
        raise UsageError(f"--report: there is no folder {path.parent}")
    for file in files:
        if file.is_dir():
            raise UsageError(f"--report: {file} is a folder")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UsageError(f"--report: {path.parent} can't be written to")
    return files


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
