"""A file of candles of Binance's archive, as a zip or unpacked: a symbol and interval, a day or a month."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from ingest.imports.binance_csv import name_of, shown
from ingest.imports.source import FileError
from ingest.imports.text_file import TextFile
from ingest.venues.binance_files import FileName
from ingest.venues.binance_rest import NAME
from tickplant.errors import PoisonError
from tickplant.intervals import CANDLE_INTERVALS
from tickplant.klines import Kline, names_columns, parse_kline
from tickplant.market import SymbolId

_COLUMNS: Final = 12
_REPORTED: Final = 3
"""Refused lines of which the reason is kept: a file may have millions."""


class RefusedLine(NamedTuple):
    """A line that is not a possible candle."""

    number: int
    """Counts from 1."""
    reason: str


class FileCandles(NamedTuple):
    """The candles of a file."""

    candles: list[Kline]
    """Those with trades, ascending; of candles with the same open time the last."""
    refused: list[RefusedLine]
    """The first of the refused lines."""
    refused_count: int


class CandleFile:
    """A file of candles; close it at the end."""

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            FileError: it is not one of candles, or its name and the one in its zip differ.
            OSError: it can't be read.
        """
        self._text = TextFile(path)
        try:
            self._name: FileName = name_of(path, self._text.stem, candles=True)
        except BaseException:
            self._text.close()
            raise
        self.symbol: Final = SymbolId(NAME, self._name.symbol)
        self.interval: Final = self._name.kind
        self.period: Final = self._name.period
        self.name: Final = path.name

    def close(self) -> None:
        """Close it."""
        self._text.close()

    def read(self) -> FileCandles:
        """Read the candles, at most those of 31 days.

        A line that is not a possible candle does no harm to others: each stands for itself.

        Raises:
            FileError: the file is damaged, or has no line of a candle.
        """
        candles: dict[int, Kline] = {}
        refused: list[RefusedLine] = []
        lines = refused_count = 0
        for number, line in self._lines():
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if number == 1 and names_columns(text):
                    continue
                lines += 1
                candle = self._parse(text)
            except (ValueError, PoisonError) as error:
                refused_count += 1
                if len(refused) < _REPORTED:
                    reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else error
                    refused.append(RefusedLine(number, f"{reason}: {shown(line)}"))
                continue
            if candle.trade_count:
                candles[candle.open_time_us] = candle
        if not lines and not refused_count:
            raise FileError(f"{self._text.path}: it has no candles")
        return FileCandles([candles[time_us] for time_us in sorted(candles)], refused, refused_count)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        for block, lines in self._text.scan():
            for number, line in enumerate(lines.splitlines(), start=block.first_line):
                if line.strip():
                    yield number, line

    def _parse(self, line: str) -> Kline:
        """Return the candle of a line.

        Raises:
            ValueError: it is not a possible candle of this file; or one of other errors of `parse_kline`.
        """
        fields = line.split(",")
        if len(fields) != _COLUMNS:
            raise ValueError(f"{len(fields)} columns in place of {_COLUMNS}")
        interval = CANDLE_INTERVALS[self.interval]
        candle = parse_kline(fields, interval)
        if not interval.floor(self.period.start_us) <= candle.open_time_us < self.period.end_us:
            raise ValueError(f"a candle of another time than {self.period}")
        if not candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high:
            raise ValueError("its open or close is not between its low and its high")
        if bool(candle.trade_count) != bool(candle.volume):
            raise ValueError("its volume and its number of trades contradict each other")
        if candle.trade_count and not candle.low:
            raise ValueError("a price of 0")
        if candle.trade_count and (candle.taker_buy_volume or 0) > candle.volume:
            raise ValueError("takers bought more than was traded")
        return candle
