"""`tickplant export`: writes stored trades or candles as CSV, JSON lines, Parquet or Arrow."""

import sys
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tickplant import interrupts
from tickplant.arrow import require_pyarrow
from tickplant.cli.database_arguments import (
    TIME_FORMS,
    find_symbol,
    open_database,
    parse_time,
    warn_of_removed_trades,
)
from tickplant.cli.export_files import (
    COLUMNAR,
    FORMATS,
    PERIODS,
    RowSource,
    file_name,
    make_folder,
    open_output,
    periods,
    write_rows,
)
from tickplant.cli.progress import progress_bars
from tickplant.errors import UsageError
from tickplant.intervals import BASE, INTERVALS, MERGED
from tickplant.settings import Settings
from tickplant.settings_reader import read_settings
from tickplant.times import to_us

if TYPE_CHECKING:
    from rich.progress import Progress

HELP: Final = "write trades or candles as CSV, JSON lines, Parquet or Arrow"

_ALL: Final = "all-candles"

DESCRIPTION: Final = """\
Write stored trades or candles, oldest first, to a file, to a folder with a file for each day or month (UTC),
or to the standard output.

Decimals are written exactly as they are stored: in CSV and JSON lines in plain notation (in JSON as strings),
in Parquet and Arrow as decimals as wide as the rows need. Times are UTC: in text RFC 3339, otherwise
timestamps in microseconds. The header of a CSV file names the columns. Memory use does not grow with the
number of rows. all-candles have a column, origin, that says which are the venue's own. Replayed and
synthetic data have a last column, source, that says which; data of live streams have none. Parquet and
Arrow need pyarrow: pip install -e '.[arrow]'
"""

EXAMPLES: Final = """\
settings: TICKPLANT_DATABASE_URL (or the embedded server, started if need be)

examples:
  tickplant export candles --symbol binance:BTCUSDT --interval 1h --from 2026-11-01 --output btc-1h.csv
  tickplant export trades --symbol BTCUSDT --from 2026-11-01 --to 2026-11-02 --format jsonl | gzip > day.gz
  tickplant export trades --symbol BTCUSDT --format parquet --by day --output btc-trades
  tickplant export all-candles --symbol BTCUSDT --interval 1d --format parquet --output btc.parquet
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "what",
        metavar="{trades,candles,all-candles}",
        choices=("trades", "candles", _ALL),
        help="which rows; all-candles: also the venue's own, where trades are missing",
    )
    parser.add_argument(
        "--symbol",
        required=True,
        metavar="VENUE:SYMBOL",
        help="such as binance:BTCUSDT; BTCUSDT if unambiguous",
    )
    parser.add_argument(
        "--interval",
        metavar="INTERVAL",
        choices=(*INTERVALS, *MERGED),
        help=f"of the candles: {', '.join((*INTERVALS, *MERGED))}; {BASE} unless given",
    )
    parser.add_argument(
        "--from", dest="start", type=parse_time, metavar="TIME", help=f"first moment, inclusive: {TIME_FORMS}"
    )
    parser.add_argument("--to", dest="end", type=parse_time, metavar="TIME", help="last moment, exclusive")
    parser.add_argument("--format", choices=FORMATS, default="csv", help="csv unless given")
    parser.add_argument(
        "--floats",
        action="store_true",
        help="in Parquet and Arrow, round decimals to floating-point numbers, for programs that need them",
    )
    parser.add_argument(
        "--by", choices=PERIODS, help="write a file for each day or month with rows into the folder --output"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="a file, or with --by a folder; a file gets its name when it is complete, and replaces one that"
        " is there; the standard output unless given",
    )


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    if args.what == "trades" and args.interval:
        raise UsageError("--interval is for candles only: trades have none")
    if args.what == _ALL and args.interval in MERGED:
        raise UsageError(f"the venue's candles are stored for {', '.join(INTERVALS)} only")
    if args.start and args.end and args.end <= args.start:
        raise UsageError("--to is not after --from")
    if args.by and not args.output:
        raise UsageError("--by writes several files: name their folder by --output")
    columnar = args.format in COLUMNAR
    if args.floats and not columnar:
        raise UsageError("--floats is for Parquet and Arrow: text has all digits")
    if columnar:
        require_pyarrow()
        if not args.output and sys.stdout.isatty():
            raise UsageError(f"{args.format} is no text: name a file by --output, or redirect the output")
    settings = read_settings()
    with progress_bars(hidden=_on_terminal(args)) as progress:
        interrupts.run(_export(settings, args, progress))
    return 0


async def _export(settings: Settings, args: Namespace, progress: "Progress") -> None:
    from db.export import ExportSelection, estimate_rows
    from db.symbols import read_stored_symbols
    from db.venue_candles import read_symbols_of_venue_candles
    from maintenance.archive.span import NO_SPAN, read_archived_span

    async with open_database(settings, application="tickplant export") as connection:
        symbols = {row.id for row in await read_stored_symbols(connection)}
        if args.what == _ALL:
            symbols |= {*await read_symbols_of_venue_candles(connection)}
        selection = ExportSelection(
            symbol=find_symbol(args.symbol, sorted(symbols)),
            interval=None if args.what == "trades" else args.interval or BASE,
            venue_too=args.what == _ALL,
            start=args.start or datetime.min.replace(tzinfo=UTC),
            end=args.end or datetime.max.replace(tzinfo=UTC),
        )
        past = NO_SPAN
        if selection.interval is None:
            span = to_us(selection.start), to_us(selection.end)
            past = await read_archived_span(connection, settings.archive_url, selection.symbol, *span)
            await warn_of_removed_trades(connection, selection.symbol, selection.start, past)
        total = past.trades + await estimate_rows(connection, selection)
        task = progress.add_task(args.what, total=total)

        def count(rows: int) -> None:
            progress.advance(task, rows)

        rows = 0
        source = RowSource(connection, past)
        if args.by is None:
            with open_output(args.output) as output:
                rows = await write_rows(source, selection, args.format, output, count, floats=args.floats)
        else:
            make_folder(args.output)
            for part in periods(selection, await source.span(selection), args.by):
                with open_output(args.output / file_name(part, args.by, args.format)) as output:
                    written = await write_rows(source, part, args.format, output, count, floats=args.floats)
                    output.kept = written > 0
                rows += written
        progress.update(task, total=rows, completed=rows)
    if not rows:
        print(f"there are no {args.what} of {selection.symbol} in this time", file=sys.stderr)


def _on_terminal(args: Namespace) -> bool:
    """Return whether rows are printed to the terminal that would show the progress."""
    return args.output is None and sys.stdout.isatty()
