"""Binance's public archive: zips of the days and months that have ended, made of the history on request.

Layout and rows are described in `ingest/venues/binance_files.py`; https://github.com/binance/binance-public-data

    GET /data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-01-05.zip            a zip, or a part by Range
    GET /data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-01-05.zip.CHECKSUM   its SHA-256 and name
    GET /data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-01.zip              candles, likewise
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from sandbox.binance.frames import VENUE
from sandbox.binance.klines import INTERVALS, build_klines, eight_places
from sandbox.history import SandboxHistory
from sandbox.venue import Answer, SandboxMarket
from tickplant.market import EXACT, SymbolId, Trade
from tickplant.times import to_us

PREFIX: Final = "/data/spot/"

_PATH: Final = re.compile(
    r"/data/spot/(?P<length>daily|monthly)/(?:trades/(?P<of_trades>[A-Z0-9]+)"
    r"|klines/(?P<of_candles>[A-Z0-9]+)/(?P<interval>\w+))"
    r"/(?P<name>[A-Z0-9]+-\w+-(?P<period>\d{4}-\d\d(?:-\d\d)?))\.zip"
)
_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)")
_CHECKSUM: Final = ".CHECKSUM"
_MOST_ZIPS: Final = 8
_MOST_CANDLES: Final = 31 * 24 * 60 * 60
_ONLY_MONTHS: Final = ("3d", "1w")
_MICROSECONDS_FROM_US: Final = 1_735_689_600_000_000
"""2025: files of earlier days have milliseconds."""


class SandboxArchive:
    """The archive.

    Args:
        market: whose trades it has.
    """

    def __init__(self, market: SandboxMarket) -> None:
        self._market = market
        self._zips: dict[str, bytes] = {}  # what has ended doesn't change

    def get(self, path: str, headers: Mapping[str, str], now_us: int) -> Answer:
        """Answer a GET of a file, or of a part of it."""
        content, kind = self._read(path.removesuffix(_CHECKSUM), now_us), "application/zip"
        if content is None:
            return Answer(404, {"Content-Type": "application/xml"}, b"<Error><Code>NoSuchKey</Code></Error>")
        if path.endswith(_CHECKSUM):
            name = path.rpartition("/")[2].removesuffix(_CHECKSUM)
            content, kind = f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode(), "text/plain"
        part = _RANGE.fullmatch(headers.get("Range", ""))
        if part is None:
            return Answer(200, {"Content-Type": kind, "Accept-Ranges": "bytes"}, content)
        first, last = int(part[1]), min(int(part[2] or len(content)), len(content) - 1)
        if first > last:
            return Answer(416, {"Content-Range": f"bytes */{len(content)}"}, b"")
        place = f"bytes {first}-{last}/{len(content)}"
        return Answer(206, {"Content-Type": kind, "Content-Range": place}, content[first : last + 1])

    def _read(self, path: str, now_us: int) -> bytes | None:
        """Return a zip; None where the archive has none."""
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        name, interval = found["of_trades"] or found["of_candles"], found["interval"]
        monthly, symbol = found["length"] == "monthly", SymbolId(VENUE, name)
        expected = f"{name}-{interval or 'trades'}-{found['period']}"
        if symbol not in self._market.symbols or found["name"] != expected:
            return None
        if interval is not None and (interval not in INTERVALS or (interval in _ONLY_MONTHS and not monthly)):
            return None
        try:
            start = datetime.strptime(f"{found['period']}-01"[:10], "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            return None
        end = start + timedelta(days=1)
        if monthly:
            end = (start + timedelta(days=31)).replace(day=1)
        if to_us(end) > now_us or (len(found["period"]) == len("2024-01")) != monthly:
            return None
        if path not in self._zips:
            history, times_us = self._market.history(symbol), (to_us(start), to_us(end))
            rows = (
                [_row(trade) for trade in history.between(*times_us)]
                if interval is None
                else _candle_rows(history, INTERVALS[interval], *times_us)
            )
            if not rows:
                return None
            while len(self._zips) >= _MOST_ZIPS:
                del self._zips[next(iter(self._zips))]
            self._zips[path] = _zip_of(f"{found['name']}.csv", rows)
        return self._zips[path]


def _zip_of(name: str, rows: Sequence[str]) -> bytes:
    """Return a zip of one file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), "".join(rows), zipfile.ZIP_DEFLATED)
    return content.getvalue()


def _candle_rows(history: SandboxHistory, length_us: int, start_us: int, end_us: int) -> list[str]:
    micro = start_us >= _MICROSECONDS_FROM_US
    candles = build_klines(
        history, length_us, end_us - 1, start_us=start_us, end_us=end_us - 1, limit=_MOST_CANDLES, micro=micro
    )
    return [",".join(map(str, candle)) + "\n" for candle in candles]


def _row(trade: Trade) -> str:
    quote = EXACT.multiply(Decimal(trade.price), Decimal(trade.size))
    micro = trade.event_time_us >= _MICROSECONDS_FROM_US
    time = trade.event_time_us if micro else trade.event_time_us // 1000
    fields = trade.trade_id, trade.price, trade.size, eight_places(quote), time, trade.side == "sell", True
    return ",".join(map(str, fields)) + "\n"
