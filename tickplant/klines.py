"""A venue's own candles, as it publishes them in files, and how ours compare with them.

Binance calls them klines (https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints)
and offers them as zipped CSV of 12 columns without a header:

    1723161300000,61828.00000000,61860.80000000,61780.00000000,61782.25000000,15.07702000,1723161359999,...,2143,
        7.10000000,438822.20000000,0

The eighth is the volume in quote currency, the ninth the number of trades; the tenth and eleventh are what
takers bought, in base and quote currency.
"""

import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Final, TextIO

from msgspec import Struct

from tickplant.errors import FatalError, PoisonError
from tickplant.intervals import BASE, CANDLE_INTERVALS, Interval
from tickplant.market import check_decimal

_QUOTE_COLUMN: Final = 7
_COUNT_COLUMN: Final = 8
_TAKER_BUY_COLUMNS: Final = slice(9, 11)
_WHOLE: Final = re.compile(r"[0-9]{1,18}")
_MIN_MICROSECONDS: Final = 100_000_000_000_000
"""Times from here on are microseconds: as milliseconds they would lie after the year 5000."""

_DAMAGED: Final = (
    *(OSError, EOFError, UnicodeDecodeError, csv.Error),
    # What zipfile raises for damage, for methods that it does not know, and for encrypted members.
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError),
)

_TAKER_BUY: Final = ("taker_buy_volume", "taker_buy_quote_volume")
COLUMNS: Final = ("open", "high", "low", "close", "volume", "trade_count", *_TAKER_BUY)


class Kline(Struct, frozen=True):
    """A candle, the venue's or ours."""

    open_time_us: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trade_count: int | None
    """None where the file has no such column."""
    complete: bool = True
    """Whether ours is known to contain all of the venue's trades."""
    taker_buy_volume: Decimal | None = None
    """None, as the next, where the venue doesn't give it; in ours, where a trade's side is not known."""
    taker_buy_quote_volume: Decimal | None = None
    quote_volume: Decimal | None = None
    """None where it is not compared: venues round it."""


class Mismatch(Struct, frozen=True):
    """One column of one minute in which we differ from the venue."""

    open_time_us: int
    column: str
    venue: str
    ours: str
    complete: bool
    """Whether our candle claims to be complete."""


class Comparison(Struct):
    """The minutes of a file by how they compare."""

    matched: int = 0
    mismatches: list[Mismatch] = []
    uncovered: list[int] = []
    """Open times of minutes in which the venue had trades and we have no candle, microseconds."""
    incomplete: list[int] = []
    """Open times of our candles that are not known to be complete, matched or not."""

    @property
    def differing(self) -> int:
        """The number of minutes that differ."""
        return len({mismatch.open_time_us for mismatch in self.mismatches})


def read_klines(path: Path) -> Iterator[Kline]:
    """Read candles of one minute from CSV, plain, gzip or zip.

    The columns are `open_time,open,high,low,close,volume[,trade_count]`, or Binance's twelve. Times are in
    milliseconds or microseconds since the epoch. A header line is skipped.

    Raises:
        FatalError: the file can't be read, or a line is not a candle of a minute.
    """
    minute = CANDLE_INTERVALS[BASE]
    try:
        with _open_text(path) as file:
            for number, fields in enumerate(csv.reader(file), start=1):
                if not fields or (number == 1 and names_columns(fields[0])):
                    continue
                try:
                    yield parse_kline(fields, minute)
                except (ValueError, PoisonError) as error:
                    raise FatalError(f"{path}, line {number}: {error}") from error
    except _DAMAGED as error:
        raise FatalError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from error


def compare(klines: Iterable[Kline], ours: Mapping[int, Kline], result: Comparison) -> None:
    """Compare minutes, as numbers to the last digit, and add the outcome to a result.

    A value that the venue doesn't give, or that ours doesn't have, is not compared.

    Args:
        klines: the venue's.
        ours: our candles by open time, at least all in the minutes of `klines`.
        result: added to.
    """
    for kline in klines:
        candle = ours.get(kline.open_time_us)
        if candle is None:
            if kline.volume:
                result.uncovered.append(kline.open_time_us)
            else:
                result.matched += 1  # no trades, no candle
            continue
        if not candle.complete:
            result.incomplete.append(kline.open_time_us)
        mismatches = list(_mismatches(kline, candle))
        result.mismatches += mismatches
        result.matched += not mismatches


def _mismatches(kline: Kline, candle: Kline) -> Iterator[Mismatch]:
    for column in COLUMNS:
        theirs, own = getattr(kline, column), getattr(candle, column)
        if theirs is not None and own is not None and theirs != own:
            yield Mismatch(kline.open_time_us, column, _digits(theirs), _digits(own), candle.complete)


def _digits(value: Decimal | int) -> str:
    """Return a number without an exponent, and a count without decimals."""
    return str(value) if isinstance(value, int) else f"{value:f}"


def names_columns(first: str) -> bool:
    """Return whether a file's first line has the names of columns, by its first field."""
    return first.strip().lstrip('"')[:1].isalpha()


def parse_kline(fields: Sequence[str], interval: Interval) -> Kline:
    """Return the candle of a line.

    Args:
        fields: of the line; see `read_klines`.
        interval: whose candle it has to be.

    Raises:
        ValueError: it is not a candle of that interval.
        PoisonError: one of its decimals is none.
    """
    values = [field.strip() for field in fields]
    if len(values) not in (6, 7, 12):
        raise ValueError(
            f"{len(values)} columns; expected open_time_ms,open,high,low,close,volume[,count]"
            " or Binance's twelve"
        )
    time = _whole(values[0], "open time")
    open_time_us = time if time >= _MIN_MICROSECONDS else time * 1000
    if open_time_us != interval.floor(open_time_us):
        raise ValueError(f"{time} is not the start of a candle of {interval.name}")
    open_, high, low, close, volume = [
        Decimal(check_decimal(value, column)) for value, column in zip(values[1:6], COLUMNS, strict=False)
    ]
    count = values[_COUNT_COLUMN] if len(values) == 12 else values[6] if len(values) == 7 else ""
    bought, bought_quote = [
        Decimal(check_decimal(value, column))
        for value, column in zip(values[_TAKER_BUY_COLUMNS], _TAKER_BUY, strict=False)
    ] or (None, None)
    return Kline(
        open_time_us,
        open_,
        high,
        low,
        close,
        volume,
        _whole(count, "number of trades") if count else None,
        taker_buy_volume=bought,
        taker_buy_quote_volume=bought_quote,
        quote_volume=(
            Decimal(check_decimal(values[_QUOTE_COLUMN], "quote volume")) if len(values) == 12 else None
        ),
    )


def _whole(text: str, what: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{what} is not a whole number: {text[:40]!r}")
    return int(text)


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        if magic[:2] == b"\x1f\x8b":
            with gzip.open(file, "rt", encoding="utf-8-sig", newline="") as text:
                yield text
        elif magic == b"PK\x03\x04":
            with zipfile.ZipFile(file) as archive:
                names = [name for name in archive.namelist() if not name.endswith("/")]
                if len(names) != 1:
                    raise FatalError(f"{path} holds {len(names)} files; expected one")
                with archive.open(names[0]) as member:
                    yield io.TextIOWrapper(member, encoding="utf-8-sig", newline="")
        else:
            yield io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
