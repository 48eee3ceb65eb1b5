"""A file of candles of Binance's archive, as a zip or unpacked: a symbol and interval, a day or a month."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from ingest.imports.binance_csv import name_of, shown
from ingest.imports.text_file import TextFile
from ingest.venues.binance_files import FileName
from ingest.venues.binance_rest import NAME
from tickplant.errors import PoisonError
from tickplant.intervals import CANDLE_INTERVALS
from tickplant.klines import Kline, parse_kline
from tickplant.market import SymbolId

_COLUMNS: Final = 12


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
        self.name: Final = path.name

    def close(self) -> None:
        """Close it."""
        self._text.close()

    def read(self) -> FileCandles:
        """Read the candles, at most those of 31 days.

        A line that is not a possible candle does no harm to others: each stands for itself.

        Raises:
            FileError: the file is damaged.
        """
        candles: dict[int, Kline] = {}
        refused: list[RefusedLine] = []
        for number, line in self._lines():
            try:
                candle = self._parse(line)
            except (ValueError, PoisonError, UnicodeDecodeError, OverflowError) as error:
                if number > 1 or line[:1].isdigit():  # the first may have the names of the columns
                    refused.append(RefusedLine(number, f"{error}: {shown(line)}"))
                continue
            if candle.trade_count:
                candles[candle.open_time_us] = candle
        return FileCandles([candles[time_us] for time_us in sorted(candles)], refused)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        for block, lines in self._text.scan():
            for number, line in enumerate(lines.splitlines(), start=block.first_line):
                if line.strip():
                    yield number, line

    def _parse(self, line: bytes) -> Kline:
        """Return the candle of a line.

        Raises:
            ValueError: it is not a possible candle of this file; or one of other errors of `parse_kline`.
        """
        fields = line.decode().split(",")
        if len(fields) != _COLUMNS:
            raise ValueError(f"{len(fields)} columns in place of {_COLUMNS}")
        interval = CANDLE_INTERVALS[self.interval]
        candle = parse_kline(fields, interval)
        period = self._name.period
        if not interval.floor(period.start_us) <= candle.open_time_us < period.end_us:
            raise ValueError(f"a candle of another time than {period}")
        if not candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high:
            raise ValueError("its open or close is not between its low and its high")
        trades = candle.trade_count or 0
        if trades < 0 or bool(trades) != bool(candle.volume):
            raise ValueError("its volume and its number of trades contradict each other")
        return candle
