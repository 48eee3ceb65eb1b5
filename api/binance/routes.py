"""Binance's routes, for symbols of Binance or, with its name in the path, of another venue."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final

import msgspec
from litestar import Request, Response, Router, get
from litestar.handlers import HTTPRouteHandler

from api.binance import views
from api.binance.errors import PATH, bad_symbol, error_response, require_venue
from api.binance.exchange_info import exchange_info
from api.binance.parameters import (
    KlinesParameters,
    SymbolParameters,
    SymbolsParameters,
    TradesParameters,
    page_length,
    parse,
    window,
)
from api.binance.websockets import stream, ws
from api.queries.candles import CandlePageReader, OpenTimeRange
from api.queries.history import StoredHistory
from api.queries.prices import Prices
from api.queries.symbols import SymbolDirectory, UnknownSymbolError
from api.routes.responses import Service
from db.stats import read_changes_24h, read_price_means
from db.tickers import read_divisions, read_window_edges
from db.trades import TradeBound, read_trades, read_trades_from_id
from tickplant.clock import now_us
from tickplant.intervals import MINUTE_US
from tickplant.market import SymbolId, Trade

_MEAN_MINUTES: Final = 5
"""What Binance's average price is of."""


class Market:
    """The symbols of one venue, for one request."""

    def __init__(self, request: Request[Any, Any, Any], directory: SymbolDirectory) -> None:
        self.venue: str = request.path_params.get("venue", "binance").lower()
        self._directory = directory

    async def symbol(self, name: str) -> SymbolId:
        """Return a symbol of the venue.

        Raises:
            BinanceError: it has no such symbol.
            Problem: the venue is unknown.
        """
        await self.require()
        try:
            return await self._directory.resolve(f"{self.venue}:{name}", near=False)
        except UnknownSymbolError as error:
            raise bad_symbol() from error

    async def symbols(self, names: list[str] | None) -> list[SymbolId]:
        """Return some symbols of the venue, or all; raises as `symbol`, and for a venue without symbols."""
        if names is not None:
            return [await self.symbol(name) for name in names]
        await self.require()
        return [symbol for symbol in await self._directory.all() if symbol.venue == self.venue]

    async def require(self) -> None:
        """Refuse a venue without symbols; raises as `require_venue`."""
        await require_venue(self._directory, self.venue)


def _json(content: object) -> Response[bytes]:
    return Response(msgspec.json.encode(content), media_type="application/json")


def _route(*paths: str) -> Callable[[Callable[..., Awaitable[object]]], HTTPRouteHandler]:
    """Make a handler of Binance's path, also with a venue before it."""
    every = [f"{before}{path}" for path in paths for before in ("", "/{venue:str}")]

    def decorate(function: Callable[..., Awaitable[object]]) -> HTTPRouteHandler:
        @wraps(function)
        async def handle(*args: Any, **kwargs: Any) -> Response[bytes]:
            return _json(await function(*args, **kwargs))

        handle.__annotations__["return"] = Response[bytes]
        return get(every)(handle)

    return decorate


def _query(request: Request[Any, Any, Any]) -> dict[str, list[str]]:
    return request.query_params.dict()


@_route("/api/v3/ping")
async def get_ping(request: Request[Any, Any, Any], directory: Service[SymbolDirectory]) -> dict[str, Any]:
    """Answer."""
    await Market(request, directory).require()
    return {}


@_route("/api/v3/time")
async def get_time(request: Request[Any, Any, Any], directory: Service[SymbolDirectory]) -> dict[str, Any]:
    """Return the time of this process."""
    await Market(request, directory).require()
    return {"serverTime": now_us() // 1000}


@_route("/fapi/v1/exchangeInfo", "/dapi/v1/exchangeInfo")
async def get_no_contracts(
    request: Request[Any, Any, Any], directory: Service[SymbolDirectory]
) -> dict[str, Any]:
    """Return that there are no futures, which clients ask for together with spot markets."""
    await Market(request, directory).require()
    return exchange_info(now_us() // 1000, [])


@_route("/api/v3/exchangeInfo")
async def get_exchange_info(
    request: Request[Any, Any, Any], directory: Service[SymbolDirectory], history: Service[StoredHistory]
) -> dict[str, Any]:
    """Return the symbols, and how finely their prices and sizes are divided."""
    market = Market(request, directory)
    symbols = await market.symbols(parse(_query(request), SymbolsParameters).names())
    async with history.snapshot() as connection:
        return exchange_info(now_us() // 1000, symbols, await read_divisions(connection, market.venue))


@_route("/api/v3/klines", "/api/v3/uiKlines")
async def get_klines(
    request: Request[Any, Any, Any], directory: Service[SymbolDirectory], history: Service[StoredHistory]
) -> list[Any]:
    """Return candles; as at Binance, intervals without trades repeat the close before them."""
    asked = parse(_query(request), KlinesParameters)
    asked.check()
    symbol = await Market(request, directory).symbol(asked.symbol)
    start_us, end_us = window(asked.start_time, asked.end_time)
    async with history.snapshot() as connection:
        page = await CandlePageReader(connection, symbol, asked.interval).read(
            OpenTimeRange(start_us, end_us),
            page_length(asked.limit),
            newest=asked.start_time is None,
            fill="previous",
        )
    return [views.kline(candle) for candle in page.candles]


async def _trades(
    request: Request[Any, Any, Any], directory: SymbolDirectory, history: StoredHistory
) -> list[Trade]:
    """Return the trades from an id or a time on, or else the newest."""
    asked = parse(_query(request), TradesParameters)
    symbol = await Market(request, directory).symbol(asked.symbol)
    limit = page_length(asked.limit)
    start_us, end_us = window(asked.start_time, asked.end_time)
    async with history.snapshot() as connection:
        if asked.from_id is not None:
            return await read_trades_from_id(connection, symbol, asked.from_id, limit)
        bounds = {"after": TradeBound(start_us), "before": TradeBound(end_us)}
        return await read_trades(connection, symbol, **bounds, limit=limit, newest=asked.start_time is None)


@_route("/api/v3/trades", "/api/v3/historicalTrades")
async def get_trades(
    request: Request[Any, Any, Any], directory: Service[SymbolDirectory], history: Service[StoredHistory]
) -> list[Any]:
    """Return trades."""
    return [views.trade(trade) for trade in await _trades(request, directory, history)]


@_route("/api/v3/aggTrades")
async def get_aggregate_trades(
    request: Request[Any, Any, Any], directory: Service[SymbolDirectory], history: Service[StoredHistory]
) -> list[Any]:
    """Return trades as aggregate trades, each of one trade."""
    return [views.aggregate_trade(trade) for trade in await _trades(request, directory, history)]


@_route("/api/v3/avgPrice")
async def get_average_price(
    request: Request[Any, Any, Any],
    directory: Service[SymbolDirectory],
    history: Service[StoredHistory],
    prices: Service[Prices],
) -> dict[str, Any]:
    """Return the mean price of the last minutes, weighted by size; the last price if nothing was traded."""
    symbol = await Market(request, directory).symbol(parse(_query(request), SymbolParameters).symbol)
    last, _ = await prices.read(symbol)
    if last is None:
        raise bad_symbol()
    async with history.snapshot() as connection:
        means = await read_price_means(connection, symbol, _MEAN_MINUTES * MINUTE_US)
    return views.average_price(_MEAN_MINUTES, means, last)


@_route("/api/v3/ticker/24hr")
async def get_ticker(
    request: Request[Any, Any, Any], directory: Service[SymbolDirectory], history: Service[StoredHistory]
) -> object:
    """Return the last 24 hours of a symbol, some or all that have traded."""
    asked = parse(_query(request), SymbolsParameters)
    symbols = await Market(request, directory).symbols(asked.names())
    async with history.snapshot() as connection:
        changes = await read_changes_24h(connection, symbols)
        edges = await read_window_edges(connection, changes)
    tickers = [views.ticker(change, edges[change.symbol]) for change in changes]
    if asked.type == "MINI":
        tickers = [{name: ticker[name] for name in views.MINI} for ticker in tickers]
    return _one_or_all(asked, tickers)


@_route("/api/v3/ticker/price")
async def get_price(
    request: Request[Any, Any, Any], directory: Service[SymbolDirectory], prices: Service[Prices]
) -> object:
    """Return the last price of a symbol, some or all that have traded."""
    asked = parse(_query(request), SymbolsParameters)
    found = []
    for symbol in await Market(request, directory).symbols(asked.names()):
        last, _ = await prices.read(symbol)
        if last is not None:
            found.append({"symbol": symbol.symbol, "price": last.price})
    return _one_or_all(asked, found)


def _one_or_all(asked: SymbolsParameters, found: list[dict[str, Any]]) -> object:
    if asked.symbol is None:
        return found
    if not found:
        raise bad_symbol()
    return found[0]


BINANCE: Final = Router(
    PATH,
    route_handlers=[
        *(
            get_ping,
            get_time,
            get_exchange_info,
            get_no_contracts,
            get_klines,
            get_trades,
            get_aggregate_trades,
        ),
        *(get_average_price, get_ticker, get_price, ws, stream),
    ],
    exception_handlers={Exception: error_response},
    include_in_schema=False,  # Binance documents them
)
