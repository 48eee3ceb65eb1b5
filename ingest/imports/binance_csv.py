"""A file of Binance's archive, as a zip or unpacked: trades of one symbol in a day or a month."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ingest.imports.source import Block, FileError, block_of
from ingest.imports.text_file import TextBlock, TextFile
from ingest.venues.binance_files import FileName, is_header, parse_row, parse_rows
from ingest.venues.binance_rest import NAME
from tickplant.clock import now_us
from tickplant.errors import PoisonError
from tickplant.kernel import TradeColumns, concat, from_trades
from tickplant.market import SymbolId

_TOLERANCE_US: Final = 1_000_000
"""How far outside of its day a trade of a file may be."""


class BinanceCsv:
    """A `TradeFile` of Binance's archive."""

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            FileError: it is not one of trades, or its name and the one in its zip differ.
            OSError: it can't be read.
        """
        self._text = TextFile(path)
        self._blocks: list[TextBlock] = []
        self._ingest_us = now_us()
        try:
            self._file = name_of(path, self._text.stem)
        except FileError:
            self._text.close()
            raise
        self.symbol: Final = SymbolId(NAME, self._file.symbol)
        self.start_us: Final = self._file.period.start_us
        self.end_us: Final = self._file.period.end_us
        self.name: Final = path.name

    def close(self) -> None:
        """Close it."""
        self._text.close()

    def scan(self) -> Iterator[Block]:
        """Read and check everything; yield the blocks; see `TradeFile`."""
        self._blocks = []
        last_id = -1
        for text_block, lines in self._text.scan():
            trades = self._parse(text_block, lines)
            if trades is None:
                continue
            self._check(text_block, trades, last_id)
            self._blocks.append(text_block)
            yield block_of(len(self._blocks) - 1, trades)
            last_id = trades.highest_id
        if not self._blocks:
            raise FileError(f"{self._text.path}: it has no trades")

    def read(self, block: Block) -> TradeColumns:
        """Return the trades of a block; see `TradeFile`."""
        text_block = self._blocks[block.number]
        trades = self._parse(text_block, self._text.read(text_block))
        if trades is None or block_of(block.number, trades) != block:
            raise FileError(f"{self._text.path}: it has changed while it was read")
        return trades

    def _parse(self, block: TextBlock, lines: bytes) -> TradeColumns | None:
        """Return the trades of a block; None where it has only the line of names."""
        parts: list[TradeColumns] = []
        start = 0
        if block.first_line == 1:
            start = self._skip_header(lines)
        while start < len(lines):
            trades, consumed = parse_rows(
                lines[start:] if start else lines, self._file.symbol, self._ingest_us
            )
            if len(trades):
                parts.append(trades)
            start += consumed
            if start < len(lines):
                parts.append(self._parse_odd(block, lines, start))
                newline = lines.find(b"\n", start)
                start = len(lines) if newline < 0 else newline + 1
        return concat(parts) if parts else None

    def _skip_header(self, lines: bytes) -> int:
        end = lines.find(b"\n") + 1
        try:
            return end if is_header(lines[: end or len(lines)].decode("utf-8-sig", "replace")) else 0
        except PoisonError as error:
            raise FileError(f"{self._text.path}: line 1: {error}") from error

    def _parse_odd(self, block: TextBlock, lines: bytes, start: int) -> TradeColumns:
        """Parse the row that the parser of many has left."""
        line = lines[start:].partition(b"\n")[0].removesuffix(b"\r")
        try:
            return from_trades([parse_row(line.decode(), self._file.symbol, self._ingest_us)])
        except (PoisonError, UnicodeDecodeError) as error:
            number = block.first_line + lines.count(b"\n", 0, start)
            reason = error if isinstance(error, PoisonError) else "not UTF-8"
            raise FileError(f"{self._text.path}: line {number}: {reason}: {shown(line)}") from error

    def _check(self, block: TextBlock, trades: TradeColumns, last_id: int) -> None:
        """Check the order of ids, and the day.

        Raises:
            FileError: a row is out of order, or of another day.
        """
        if trades.ids[0] <= last_id or not trades.ascending:
            ids = [last_id, *trades.ids]
            row = next(i for i in range(1, len(ids)) if ids[i] <= ids[i - 1])
            raise self._fault(block, row - 1, f"id {ids[row]} comes after {ids[row - 1]}: ids have to ascend")
        low_us, high_us = self.start_us - _TOLERANCE_US, self.end_us + _TOLERANCE_US
        times_us = trades.event_times_us
        if trades.latest_time_us >= high_us or min(times_us) < low_us:
            row = next(i for i, time_us in enumerate(times_us) if not low_us <= time_us < high_us)
            raise self._fault(block, row, f"a trade of another time than {self._file.period}")

    def _fault(self, block: TextBlock, row: int, reason: str) -> FileError:
        lines = self._text.read(block)
        if block.first_line == 1:
            row += self._skip_header(lines) > 0
        line = lines.split(b"\n", row + 1)[row]
        return FileError(f"{self._text.path}: line {block.first_line + row}: {reason}: {shown(line)}")


def name_of(path: Path, inner: str, *, candles: bool = False) -> FileName:
    """Return what a file contains, by its own name and by that of the file in its zip.

    Args:
        path: of the file.
        inner: the name of the file in its zip, without its extension; where it is not a zip, its own.
        candles: whether it should have candles; else trades.

    Raises:
        FileError: neither says it, or they differ.
    """
    named: list[FileName] = []
    fault: PoisonError | None = None
    for stem in (path.name.removesuffix(path.suffix), inner):
        try:
            named.append(FileName.parse(stem, candles=candles))
        except PoisonError as error:
            fault = error
    if not named:
        raise FileError(f"{path}: {fault}") from fault
    if named[0] != named[-1]:
        raise FileError(f"{path}: contains {named[-1]}, which is not what its name says")
    return named[0]


def shown(line: bytes) -> str:
    """Return the start of a line, for a message."""
    return repr(line[:120].decode(errors="replace"))
