"""The files of `tickplant export`: their names, their periods, and how rows get into them."""

import asyncio
import io
import os
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple
from urllib.parse import quote

from msgspec.structs import replace

from tickplant.errors import FatalError
from tickplant.times import to_datetime, to_us

if TYPE_CHECKING:
    from db.export import ExportFormat, ExportSelection
    from db.pool import DatabaseConnection
    from db.widths import ColumnWidth
    from maintenance.archive.span import ArchivedSpan

FORMATS: Final = ("csv", "jsonl", "parquet", "arrow")
COLUMNAR: Final = ("parquet", "arrow")
PERIODS: Final = ("day", "month")


class Output(io.RawIOBase):
    """A file that is written from start to end, or the standard output."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._position = 0
        self.kept = True
        """Whether a file gets its name when it is complete."""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, content: Any, /) -> int:
        """Write bytes.

        Raises:
            FatalError: that is not possible.
            BrokenPipeError: nobody reads the standard output any more.
        """
        try:
            self._file.write(content)
        except OSError as error:
            raise self._unwritable(error) from error
        self._position += len(content)
        return len(content)

    def flush(self) -> None:
        """Write what is buffered; raises as `write`."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._position

    def close(self) -> None:
        """Leave the file open: it is closed where it was opened."""

    def _unwritable(self, error: OSError) -> Exception:
        """Return the error for output that can't be written; a closed pipe is not an error of ours."""
        if isinstance(error, BrokenPipeError):
            return error
        return FatalError(f"can't write {self._name}: {error.strerror or error}")


@contextmanager
def open_output(path: Path | None) -> Iterator[Output]:
    """Open the standard output, or a file that gets its name only when it is complete.

    A device or a pipe, such as /dev/stdout, is written to as it is.

    Raises:
        FatalError: the file can't be written.
    """
    if path is None:
        output = Output(sys.stdout.buffer, "the standard output")
        yield output
        output.flush()
        return
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            with path.open("wb", buffering=1 << 20) as file:
                output = Output(file, str(path))
                yield output
                output.flush()
            return
        target = Path(os.path.realpath(path))  # a link stays one
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with part.open("xb", buffering=1 << 20) as file:
                output = Output(file, str(path))
                yield output
                output.flush()
                os.fsync(file.fileno())
            if output.kept:
                part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise FatalError(f"can't write {path}: {error.strerror or error}") from error


def make_folder(path: Path) -> None:
    """Make the folder of an export, unless it is there.

    Raises:
        FatalError: that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FatalError(f"can't write into the folder {path}: {error.strerror or error}") from error


class RowSource(NamedTuple):
    """Where the rows of an export are: in the database, and days of trades in the archive."""

    connection: "DatabaseConnection"
    past: "ArchivedSpan"

    async def parts(self, selection: "ExportSelection") -> AsyncGenerator["ExportSelection", None]:
        """Yield the parts of a selection to read one after the other, each while it is the current one."""
        span = to_us(selection.start), to_us(selection.end)
        async with aclosing(self.past.within(*span).parts(self.connection, *span)) as parts:
            async for start_us, end_us in parts:
                yield replace(selection, start=to_datetime(start_us), end=to_datetime(end_us))

    async def span(self, selection: "ExportSelection") -> tuple[datetime, datetime] | None:
        """Return times between which all rows of a selection are; None where there are none."""
        from db.export import read_span

        stored = await read_span(self.connection, selection)
        times = [*(stored or ()), *(datetime.combine(each.day, time.min, UTC) for each in self.past.days)]
        return (min(times), max(times)) if times else None


async def write_rows(
    source: RowSource,
    selection: "ExportSelection",
    format_: str,
    output: Output,
    count: Callable[[int], object],
    *,
    floats: bool,
) -> int:
    """Write the rows of a selection, and return how many there are.

    Args:
        source: of the rows.
        selection: the rows.
        format_: one of `FORMATS`.
        output: to write.
        count: called with the number of rows read since the last call.
        floats: whether Parquet and Arrow get floating-point numbers in place of decimals.

    Raises:
        FatalError: the rows can't be read or written.
    """
    if format_ in COLUMNAR:
        return await _write_columns(source, selection, format_, output, count, floats=floats)
    from db.export import export_rows

    rows, begun = 0, False

    async def write(lines: bytes) -> None:
        output.write(lines)
        count(lines.count(b"\n"))

    async with aclosing(source.parts(selection)) as parts:
        async for part in parts:
            text: ExportFormat = "jsonl" if format_ == "jsonl" else "csv"
            rows += await export_rows(source.connection, part, text, write, header=not begun)
            begun = True
    return rows


async def _write_columns(
    source: RowSource,
    selection: "ExportSelection",
    format_: str,
    output: Output,
    count: Callable[[int], object],
    *,
    floats: bool,
) -> int:
    """Write rows as Parquet or Arrow, once it is known how wide their decimals are."""
    import pyarrow as pa

    from db.export import export_rows, read_shape
    from tickplant.arrow.parquet import ArrowFileWriter, ParquetWriter
    from tickplant.arrow.schemas import CANDLE_DECIMALS, TRADE_DECIMALS, WORD, export_schema

    what, decimals = (
        ("trades", TRADE_DECIMALS) if selection.interval is None else ("candles", CANDLE_DECIMALS)
    )
    widths: dict[str, ColumnWidth] = {}
    has_source = False
    async with aclosing(source.parts(selection)) as parts:
        async for part in parts:
            shape = await read_shape(source.connection, part, decimals)
            has_source = shape.has_source
            for column, width in shape.widths.items():
                widths[column] = width.union(widths.get(column, width))
    # The file format of Arrow allows one dictionary a column, but each block of rows would have its own.
    word, kind = (WORD, ParquetWriter) if format_ == "parquet" else (pa.string(), ArrowFileWriter)
    digits = {column: (width.whole, width.places) for column, width in widths.items()}
    schema = export_schema(
        what, digits, word=word, floats=floats, has_origin=selection.venue_too, has_source=has_source
    )
    rows = 0
    try:
        with kind(output, schema) as writer:

            async def write(lines: bytes) -> None:
                await asyncio.to_thread(writer.write, lines)
                count(lines.count(b"\n"))

            async with aclosing(source.parts(selection)) as parts:
                async for part in parts:
                    rows += await export_rows(source.connection, part, "csv", write, header=False)
            await asyncio.to_thread(writer.close)
    except pa.ArrowInvalid as error:
        raise FatalError(f"rows with more digits were stored meanwhile; run it again ({error})") from error
    return rows


def periods(
    selection: "ExportSelection", span: tuple[datetime, datetime] | None, period: str
) -> Iterator["ExportSelection"]:
    """Yield the parts of a selection, of a day or a month each, between its first and its last row."""
    if span is None:
        return
    first, last = span
    start = datetime(first.year, first.month, first.day if period == "day" else 1, tzinfo=UTC)
    while start <= last:
        end = start + timedelta(days=1 if period == "day" else 31)
        if period == "month":
            end = end.replace(day=1)
        yield replace(selection, start=max(selection.start, start), end=min(selection.end, end))
        start = end


def file_name(selection: "ExportSelection", period: str, format_: str) -> str:
    """Return the name of the file of a period, such as binance-BTCUSDT-candles-1h-2026-11.parquet."""
    symbol = "-".join(quote(part, safe="") for part in selection.symbol)
    candles = f"{'all-' if selection.venue_too else ''}candles-{selection.interval}"
    what = "trades" if selection.interval is None else candles
    time = selection.start.strftime("%Y-%m-%d" if period == "day" else "%Y-%m")
    return f"{symbol}-{what}-{time}.{format_}"
