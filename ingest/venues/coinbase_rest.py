"""Coinbase Exchange over REST: history, the list of products, and candles.

Documentation: https://docs.cdp.coinbase.com/api-reference/exchange-api/rest-api/products/get-product-trades

History, newest first; `after` selects the trades before an id:

    GET /products/BTC-USD/trades?after=75&limit=2
    [{"trade_id":74,"side":"sell","size":"0.01000000","price":"10.00000000","time":"2014-11-07T22:19:28.578544Z"},
     {"trade_id":73,"side":"buy","size":"0.01000000","price":"11.00000000","time":"2014-11-07T01:08:43.642366Z"}]

Candles, at most 300, newest first: time in seconds, low, high, open, close, volume. Minutes without trades
have none, and sometimes others are missing, too:

    GET /products/BTC-USD/candles?granularity=60&start=2014-11-07T22:19:00Z&end=2014-11-07T22:20:00Z
    [[1415398768,0.32,4.2,0.35,4.2,12.3]]

All products; one with `trading_disabled` does not trade:

    GET /products
    [{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","status":"online","trading_disabled":false}]
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from ingest.venues.base import ParsedRows
from ingest.venues.base_rest import TRADING, ListedSymbol, MissingRange
from ingest.venues.parsing import (
    TradeId,
    check_time_us,
    microseconds,
    parse_history_rows,
    parse_listing_rows,
    plain_decimal,
    split_rows,
)
from tickplant.errors import MALFORMED, PoisonError
from tickplant.intervals import MINUTE_US
from tickplant.klines import Kline
from tickplant.market import Side, Trade, check_decimal

NAME: Final = "coinbase"

TAKER_SIDES: Final[Mapping[str, Side]] = {"sell": "buy", "buy": "sell"}
"""The taker's side by the maker's."""

_PAGE: Final = 1000


class _HistoryTrade(Struct, gc=False):
    """A trade in a page of history."""

    trade_id: TradeId
    side: Literal["buy", "sell"]
    size: str
    price: str
    time: str
    product_id: str | None = None
    """Undocumented; if present, it must be the requested product."""


class _Kline(Struct, array_like=True, gc=False):
    """A candle."""

    time: int
    low: Any
    high: Any
    open: Any
    close: Any
    volume: Any


class _Product(Struct, gc=False):
    id: str
    status: str = "online"
    trading_disabled: bool = False


_decode_product = msgspec.json.Decoder(_Product).decode
_decode_history_trade = msgspec.json.Decoder(_HistoryTrade).decode
_decode_klines = msgspec.json.Decoder(list[_Kline], float_hook=str).decode


class CoinbaseRestAdapter:
    """The REST interface of Coinbase."""

    rest_url: Final = "https://api.exchange.coinbase.com"
    history_headers: Final[Mapping[str, str]] = {}
    history_by_time: Final = False
    symbols_path: Final = "/products"
    klines_at_once: Final = 300

    def history_path(self, gap: MissingRange) -> str:
        """Return the request for the gap's first trades and the one before: the latest before an id."""
        beside = 0 if gap.alone else 1
        start = max(0, gap.first_id - beside)
        limit = min(_PAGE, gap.last_id - start + 1 + beside)
        return f"/products/{quote(gap.symbol)}/trades?after={start + limit}&limit={limit}"

    def parse_history(self, body: bytes, symbol: str, ingest_time_us: int) -> ParsedRows:
        """Parse a page of history.

        Raises:
            UnreadableError: it can't be decoded.
            PoisonError: it is not a page of trades.
        """
        return parse_history_rows(
            split_rows(body), lambda row: _history_trade(row, symbol, ingest_time_us), "trade_id"
        )

    def parse_symbols(self, body: bytes) -> tuple[ListedSymbol, ...]:
        """Parse the list of products.

        Raises:
            PoisonError: it is malformed.
        """
        return parse_listing_rows(split_rows(body), _listed)

    def klines_path(self, symbol: str, start_us: int, end_us: int) -> str:
        """Return the request for candles of one minute; for the venue, both ends are inclusive."""
        start, end = (
            f"{datetime.fromtimestamp(at_us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
            for at_us in (start_us, end_us - MINUTE_US)
        )
        return f"/products/{quote(symbol)}/candles?granularity=60&start={start}&end={end}"

    def parse_klines(self, body: bytes) -> tuple[Kline, ...]:
        """Parse candles.

        Raises:
            PoisonError: they are malformed.
        """
        try:
            rows = _decode_klines(body)
        except MALFORMED as error:
            raise PoisonError(f"not a list of candles: {error}") from error
        return tuple(sorted(map(_kline, rows), key=lambda kline: kline.open_time_us))


def _listed(row: Raw) -> ListedSymbol:
    product = _decode_product(row)
    status = "trading is disabled" if product.trading_disabled else TRADING
    return ListedSymbol(product.id, status if product.status == "online" else product.status)


def _history_trade(row: Raw, symbol: str, ingest_time_us: int) -> Trade:
    trade = _decode_history_trade(row)
    if trade.product_id not in (None, symbol):
        raise PoisonError(f"a trade of {trade.product_id!r}, which was not requested")
    return Trade(
        NAME,
        symbol,
        trade.trade_id,
        check_decimal(trade.price, "price"),
        check_decimal(trade.size, "size"),
        TAKER_SIDES[trade.side],
        microseconds(trade.time),
        ingest_time_us,
    )


def _kline(row: _Kline) -> Kline:
    numbers = (row.open, row.high, row.low, row.close, row.volume)
    open_, high, low, close, volume = [
        Decimal(plain_decimal(number, "a candle's number")) for number in numbers
    ]
    return Kline(check_time_us(row.time * 1_000_000), open_, high, low, close, volume, None)
