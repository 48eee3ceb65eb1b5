"""Binance spot over REST: history, the list of symbols, and candles.

Documentation: https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints

History, in milliseconds unless a header asks for microseconds:

    GET /api/v3/historicalTrades?symbol=BTCUSDT&fromId=28457&limit=1
    [{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012",
      "time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}]

All symbols; the status of one that does not trade is BREAK or HALT, for example:

    GET /api/v3/exchangeInfo
    {"timezone":"UTC","symbols":[{"symbol":"ETHBTC","status":"TRADING","baseAsset":"ETH"}]}

Candles: open time, open, high, low, close, volume, close time, quote volume, number of trades, and what
takers bought, in base and quote currency:

    GET /api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=1499040000000&limit=1
    [[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499644799999,
      "2434.19055334",308,"1756.87402397","28.46694368","0"]]
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final
from urllib.parse import quote

import msgspec
from msgspec import Meta, Raw, Struct

from ingest.venues.base import ParsedRows
from ingest.venues.base_rest import TRADING, ListedSymbol, MissingRange
from ingest.venues.parsing import (
    TradeId,
    check_time_us,
    parse_history_rows,
    parse_listing_rows,
    split_rows,
)
from tickplant.errors import MALFORMED, PoisonError
from tickplant.intervals import MINUTE_US
from tickplant.klines import Kline
from tickplant.market import Trade, check_decimal

NAME: Final = "binance"

LAST_MILLISECOND: Final = 10**14
"""Times below are milliseconds, above microseconds: the years 5138 and 1973."""

_PAGE: Final = 1000


class _HistoryTrade(Struct, gc=False):
    """A trade in a page of history."""

    id: TradeId
    price: str
    qty: str
    time: Annotated[int, Meta(ge=0)]
    isBuyerMaker: bool  # noqa: N815 - the venue's name
    symbol: str | None = None
    """Undocumented; if present, it must be the requested symbol."""


class _Kline(Struct, array_like=True, gc=False):
    """A candle, without its last column, which is unused."""

    open_time: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    close_time: int
    quote_volume: str
    trade_count: int
    taker_buy_volume: str
    taker_buy_quote_volume: str


class _Listed(Struct, gc=False):
    symbol: str
    status: str = ""


class _ExchangeInfo(Struct, gc=False):
    symbols: list[Raw]


_decode_listing = msgspec.json.Decoder(_ExchangeInfo).decode
_decode_listed = msgspec.json.Decoder(_Listed).decode
_decode_history_trade = msgspec.json.Decoder(_HistoryTrade).decode
_decode_klines = msgspec.json.Decoder(list[_Kline]).decode


class BinanceRestAdapter:
    """The REST interface of Binance."""

    rest_url: Final = "https://api.binance.com"
    history_headers: Final[Mapping[str, str]] = {"X-MBX-TIME-UNIT": "MICROSECOND"}
    history_by_time: Final = False
    klines_at_once: Final = 1000
    symbols_path: Final = "/api/v3/exchangeInfo"

    def history_path(self, gap: MissingRange) -> str:
        """Return the request for the gap's first trades and the one before; all requests weigh the same."""
        beside = 0 if gap.alone else 1
        start = max(0, gap.first_id - beside)
        limit = min(_PAGE, gap.last_id - start + 1 + beside)
        return f"/api/v3/historicalTrades?symbol={quote(gap.symbol)}&fromId={start}&limit={limit}"

    def parse_history(self, body: bytes, symbol: str, ingest_time_us: int) -> ParsedRows:
        """Parse a page of history.

        Raises:
            UnreadableError: it can't be decoded.
            PoisonError: it is not a page of trades.
        """
        return parse_history_rows(
            split_rows(body), lambda row: _history_trade(row, symbol, ingest_time_us), "id"
        )

    def parse_symbols(self, body: bytes) -> tuple[ListedSymbol, ...]:
        """Parse the list of symbols.

        Raises:
            PoisonError: it is malformed.
        """
        try:
            rows = _decode_listing(body).symbols
        except MALFORMED as error:
            raise PoisonError(f"not a list of symbols: {error}") from error
        return parse_listing_rows(rows, _listed)

    def klines_path(self, symbol: str, start_us: int, end_us: int) -> str:
        """Return the request for candles of one minute."""
        limit = min(self.klines_at_once, (end_us - start_us) // MINUTE_US)
        return f"/api/v3/klines?symbol={quote(symbol)}&interval=1m&startTime={start_us // 1000}&limit={limit}"

    def parse_klines(self, body: bytes) -> tuple[Kline, ...]:
        """Parse candles.

        Raises:
            PoisonError: they are malformed.
        """
        try:
            rows = _decode_klines(body)
        except MALFORMED as error:
            raise PoisonError(f"not a list of candles: {error}") from error
        return tuple([_kline(row) for row in rows])


def _listed(row: Raw) -> ListedSymbol:
    listed = _decode_listed(row)
    return ListedSymbol(
        listed.symbol, TRADING if listed.status == "TRADING" else listed.status or "no status"
    )


def _history_trade(row: Raw, symbol: str, ingest_time_us: int) -> Trade:
    trade = _decode_history_trade(row)
    if trade.symbol not in (None, symbol):
        raise PoisonError(f"a trade of {trade.symbol!r}, which was not requested")
    return Trade(
        NAME,
        symbol,
        trade.id,
        check_decimal(trade.price, "price"),
        check_decimal(trade.qty, "size"),
        "sell" if trade.isBuyerMaker else "buy",
        check_time_us(trade.time * 1000 if trade.time < LAST_MILLISECOND else trade.time),
        ingest_time_us,
    )


def _kline(row: _Kline) -> Kline:
    open_time_us = row.open_time * 1000 if row.open_time < LAST_MILLISECOND else row.open_time
    open_, high, low, close, volume = map(_number, (row.open, row.high, row.low, row.close, row.volume))
    return Kline(
        check_time_us(open_time_us),
        open_,
        high,
        low,
        close,
        volume,
        trade_count=row.trade_count,
        taker_buy_volume=_number(row.taker_buy_volume),
        taker_buy_quote_volume=_number(row.taker_buy_quote_volume),
    )


def _number(text: str) -> Decimal:
    return Decimal(check_decimal(text, "a candle's number"))
