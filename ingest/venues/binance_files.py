"""Binance spot's public archive: its addresses, and the rows of its files of trades.

Documentation: https://github.com/binance/binance-public-data

A zip a month, and one a day, each beside a file with its SHA-256:

    /data/spot/monthly/trades/BTCUSDT/BTCUSDT-trades-2024-01.zip
    /data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-01-05.zip
    /data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-01-05.zip.CHECKSUM

It contains one CSV file of the same name, with or without a line of names. A row is id, price, size, size in
quote currency, time, whether the buyer was the maker, and whether the price was the best. Times are
milliseconds before 2025 and microseconds since:

    3381706463,42283.58000000,0.00300000,126.85074000,1704067200000,True,True

Its files of candles are by interval, with the rows that `tickplant/klines.py` describes; those of a week
have only months:

    /data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

from ingest.venues.binance_rest import LAST_MILLISECOND, NAME
from tickplant.errors import PoisonError
from tickplant.intervals import INTERVALS
from tickplant.kernel import RowParser, TradeColumns, from_trades, row_parser
from tickplant.market import Trade, check_decimal
from tickplant.times import to_us
from tickplant.trade_rules import check_trade

ARCHIVE_URL: Final = "https://data.binance.vision"
TRADES: Final = "trades"
"""The kind of files of trades, as it is in their names and addresses."""
ONLY_MONTHS: Final = ("1w",)
"""Kinds that have no files of days."""

_NAME: Final = re.compile(r"([A-Z0-9_]+)-([A-Za-z0-9]+)-(\d{4}-\d{2}(?:-\d{2})?)")
_INTEGER: Final = re.compile(r"[0-9]{1,19}")
_YEARS: Final = range(1970, 9999)
_FLAGS: Final = {"True": True, "true": True, "False": False, "false": False}
_COLUMNS: Final = 7
_OTHER_COLUMNS: Final = {
    3: "these look like Kraken's time and sales, which have no trade ids: nothing would show which trades are"
    " missing, or stored already",
    6: "these look like trades of futures; only spot trades can be imported",
    8: "these look like aggregate trades, each of which stands for several: import the files of trades",
    12: "these look like candles, which are imported by --candles",
}
"""By the number of columns, what a row is."""


class Period(NamedTuple):
    """A day or a month in UTC."""

    start: date
    end: date
    """Exclusive."""

    @classmethod
    def parse(cls, text: str) -> "Period":
        """Return the period of a text such as 2024-01 or 2024-01-05.

        Raises:
            ValueError: it is neither.
        """
        is_day = len(text) == len("2024-01-05")
        start = date.fromisoformat(text if is_day else f"{text}-01")
        if start.year not in _YEARS:
            raise ValueError(f"no trades are of the year {start.year}")
        end = start + timedelta(days=1) if is_day else (start + timedelta(days=31)).replace(day=1)
        return cls(start, end)

    def __str__(self) -> str:
        return f"{self.start}" if self.is_day else f"{self.start:%Y-%m}"

    @property
    def is_day(self) -> bool:
        """Whether it is a day."""
        return self.end - self.start == timedelta(days=1)

    @property
    def start_us(self) -> int:
        """Its start, in microseconds since the epoch."""
        return to_us(datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC))

    @property
    def end_us(self) -> int:
        """Its end, exclusive, likewise."""
        return to_us(datetime(self.end.year, self.end.month, self.end.day, tzinfo=UTC))


class FileName(NamedTuple):
    """The name of a file of the archive, without its extension."""

    symbol: str
    period: Period
    kind: str = TRADES
    """`TRADES`, or the interval of its candles."""

    @classmethod
    def parse(cls, stem: str, *, candles: bool = False) -> "FileName":
        """Return the name of a file of trades, or of candles.

        Raises:
            PoisonError: it is not the name of one.
        """
        found = _NAME.fullmatch(stem)
        if found is None:
            example = "BTCUSDT-1h-2024-01" if candles else "BTCUSDT-trades-2024-01-05"
            raise PoisonError(
                f"its name does not say of which symbol and day it is: expected one such as {example},"
                " as in Binance's archive"
            )
        symbol, kind, period = found.groups()
        if kind == "aggTrades":
            raise PoisonError(_OTHER_COLUMNS[8])
        if kind != TRADES and kind not in INTERVALS:
            kinds = f"candles of {', '.join(INTERVALS)}" if candles else "trades"
            raise PoisonError(f"its name says {kind!r}; only {kinds} can be imported")
        if candles and kind == TRADES:
            raise PoisonError("it has trades, which are imported without --candles")
        if kind != TRADES and not candles:
            raise PoisonError(_OTHER_COLUMNS[12])
        try:
            return cls(symbol, Period.parse(period), kind)
        except ValueError as error:
            raise PoisonError(f"its name has no possible date: {period}") from error

    def __str__(self) -> str:
        return f"{self.symbol}-{self.kind}-{self.period}"

    @property
    def path(self) -> str:
        """Where its zip is in the archive."""
        length = "daily" if self.period.is_day else "monthly"
        folder = f"{TRADES}/{self.symbol}" if self.kind == TRADES else f"klines/{self.symbol}/{self.kind}"
        return f"/data/spot/{length}/{folder}/{self}.zip"


def split_periods(start: date, end: date, today: date) -> list[Period]:
    """Return the files that make up a range of days: of whole months, and of days elsewhere; ascending.

    Args:
        start: inclusive.
        end: exclusive.
        today: in UTC; its file and later ones don't exist yet.
    """
    periods = []
    end = min(end, today)
    while start < end:
        month = Period.parse(f"{start:%Y-%m}")
        whole = start == month.start and month.end <= end
        periods.append(month if whole else Period(start, start + timedelta(days=1)))
        start = periods[-1].end
    return periods


def days_of(period: Period) -> list[Period]:
    """Return the days of a period."""
    days = (period.end - period.start).days
    return [Period.parse(f"{period.start + timedelta(days=day)}") for day in range(days)]


def is_header(line: str) -> bool:
    """Return whether a file's first line has the names of columns.

    Raises:
        PoisonError: they are those of a file of something else.
    """
    name = line.split(",")[0].strip().strip('"')
    if name.lower() in ("agg_trade_id", "a"):
        raise PoisonError(_OTHER_COLUMNS[8])
    if name.lower() == "open_time":
        raise PoisonError(_OTHER_COLUMNS[12])
    return name.lower() in ("id", "trade_id")


def parse_row(line: str, symbol: str, ingest_time_us: int) -> Trade:
    """Parse one row, without the end of its line.

    Raises:
        PoisonError: it is not a row of a trade.
    """
    fields = line.split(",")
    if len(fields) != _COLUMNS:
        what = _OTHER_COLUMNS.get(len(fields), f"a row of a trade has {_COLUMNS}")
        raise PoisonError(f"{len(fields)} columns: {what}")
    trade_id, price, size, quote, time, maker, best = fields
    if not (_INTEGER.fullmatch(trade_id) and _INTEGER.fullmatch(time)):
        raise PoisonError(f"a trade id or a time is not a number: {trade_id[:40]!r}, {time[:40]!r}")
    check_decimal(quote, "size in quote currency")
    if maker not in _FLAGS or best not in _FLAGS:
        raise PoisonError(f"expected True or False in the last two columns: {maker[:40]!r}, {best[:40]!r}")
    event_us = int(time) * 1000 if int(time) < LAST_MILLISECOND else int(time)
    return check_trade(
        Trade(
            NAME,
            symbol,
            int(trade_id),
            check_decimal(price, "price"),
            check_decimal(size, "size"),
            "sell" if _FLAGS[maker] else "buy",
            event_us,
            ingest_time_us,
        )
    )


def parse_rows_in_python(content: bytes, symbol: str, ingest_time_us: int) -> tuple[TradeColumns, int]:
    """Parse lines up to the first that is not a row of a trade.

    Args:
        content: whole lines; the last one may lack its end.
        symbol: of the trades.
        ingest_time_us: when they are imported.

    Returns:
        The trades, and how many bytes they are from.
    """
    trades: list[Trade] = []
    consumed = 0
    for line in content.splitlines(keepends=True) if b"\r" not in content else _lines(content):
        try:
            trades.append(
                parse_row(line.removesuffix(b"\n").removesuffix(b"\r").decode(), symbol, ingest_time_us)
            )
        except (PoisonError, UnicodeDecodeError):
            break
        consumed += len(line)
    empty = TradeColumns(NAME, symbol, (), (), (), "", (), ())
    return (from_trades(trades) if trades else empty), consumed


def _lines(content: bytes) -> list[bytes]:
    """Split at newlines only."""
    return [line + b"\n" for line in content.split(b"\n")[:-1]] + [
        line for line in content.split(b"\n")[-1:] if line
    ]


parse_rows: Final[RowParser] = row_parser(NAME) or parse_rows_in_python
"""The parser in use: compiled where there is one. It may stop before a line that `parse_row` accepts."""
