"""`tickplant export`: writes stored trades or candles as CSV or JSON lines."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from msgspec.structs import replace

from tickplant import interrupts
from tickplant.cli.database_arguments import (
    TIME_FORMS,
    find_symbol,
    open_database,
    parse_time,
    warn_of_removed_trades,
)
from tickplant.cli.progress import progress_bars
from tickplant.errors import FatalError, UsageError
from tickplant.intervals import BASE, INTERVALS, MERGED
from tickplant.settings import Settings
from tickplant.settings_reader import read_settings
from tickplant.times import to_datetime, to_us

if TYPE_CHECKING:
    from rich.progress import Progress

HELP: Final = "write trades or candles as CSV or JSON lines"

DESCRIPTION: Final = """\
Write stored trades or candles, oldest first, to a file or to the standard output.

Decimals are written exactly as they are stored, in plain notation (as strings in JSON), times in RFC
3339, UTC. The header of a CSV file names the columns. Memory use does not grow with the number of rows.
Replayed and synthetic data have a last column, source, that says which; data of live streams have none.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_DATABASE_URL (or the embedded server, started if need be)

examples:
  tickplant export candles --symbol binance:BTCUSDT --interval 1h --from 2026-11-01 --output btc-1h.csv
  tickplant export trades --symbol BTCUSDT --from 2026-11-01 --to 2026-11-02 --format jsonl | gzip > day.gz
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("what", metavar="{trades,candles}", choices=("trades", "candles"), help="which rows")
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
    parser.add_argument("--format", choices=("csv", "jsonl"), default="csv", help="csv unless given")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="gets its name when it is complete; the standard output unless given",
    )


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    if args.what == "trades" and args.interval:
        raise UsageError("--interval is for candles only: trades have none")
    if args.start and args.end and args.end <= args.start:
        raise UsageError("--to is not after --from")
    settings = read_settings()
    with _open_output(args.output) as output, progress_bars(hidden=_on_terminal(args)) as progress:
        interrupts.run(_export(settings, args, output, progress))
        try:
            output.flush()
        except OSError as error:
            raise _unwritable(args, error) from error
    return 0


def _unwritable(args: Namespace, error: OSError) -> Exception:
    """Return the error for output that can't be written; a closed pipe is not an error of ours."""
    if isinstance(error, BrokenPipeError):
        return error
    return FatalError(f"can't write {args.output or 'the standard output'}: {error.strerror}")


async def _export(settings: Settings, args: Namespace, output: BinaryIO, progress: "Progress") -> None:
    from db.export import ExportSelection, estimate_rows, export_rows
    from db.symbols import read_stored_symbols
    from maintenance.archive.span import NO_SPAN, read_archived_span

    async with open_database(settings, application="tickplant export") as connection:
        selection = ExportSelection(
            symbol=find_symbol(args.symbol, [row.id for row in await read_stored_symbols(connection)]),
            interval=None if args.what == "trades" else args.interval or BASE,
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

        async def write(lines: bytes) -> None:
            try:
                output.write(lines)
            except OSError as error:
                raise _unwritable(args, error) from error
            progress.advance(task, lines.count(b"\n"))

        rows, begun = 0, False
        span = to_us(selection.start), to_us(selection.end)
        async with aclosing(past.parts(connection, *span)) as parts:
            async for part in parts:
                chosen = replace(selection, start=to_datetime(part[0]), end=to_datetime(part[1]))
                rows += await export_rows(connection, chosen, args.format, write, header=not begun)
                begun = True
        progress.update(task, total=rows, completed=rows)


@contextmanager
def _open_output(path: Path | None) -> Iterator[BinaryIO]:
    """Open the standard output, or a file that gets its name only when it is complete.

    Raises:
        FatalError: the file can't be written.
    """
    if path is None:
        yield sys.stdout.buffer
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("xb", buffering=1 << 20) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise FatalError(f"can't write {path}: {error.strerror or error}") from error


def _on_terminal(args: Namespace) -> bool:
    """Return whether rows are printed to the terminal that would show the progress."""
    return args.output is None and sys.stdout.isatty()
