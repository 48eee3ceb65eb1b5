"""UDF's routes. Errors have status 200, since the adapter reads the body of no other answer."""

from typing import Any, Final

import msgspec
from litestar import MediaType, Request, Response, Router, get

from api.access.caller import caller_of
from api.http.problems import problem_of, problem_response
from api.queries.candles import CandlePageReader, OpenTimeRange
from api.queries.history import MAX_US, MIN_US, StoredHistory
from api.queries.symbols import AmbiguousSymbolError, SymbolDirectory, UnknownSymbolError
from api.routes.responses import Service
from api.udf import views
from api.udf.resolutions import interval_of
from api.views.candles import CandleView
from api.views.stats import change_view
from db.alerts.firings import read_firings
from db.bot.lists import read_orders
from db.signals import SignalKey, read_signals
from db.stats import read_changes_24h
from db.tickers import read_divisions
from tickplant.bot import Fill
from tickplant.clock import now_us
from tickplant.derived import Firing, Signal

_MOST_CANDLES: Final = 5_000
_MOST_MARKS: Final = 1_000
_LEAST_CANDLES: Final = 2
"""Of a history without `countback`: with fewer the adapter refuses to update a chart."""
_DEFAULT_PLACES: Final = 2
_S: Final = 1_000_000

_Request = Request[Any, Any, Any]


class UdfError(Exception):
    """A request can't be served."""


def _json(content: object) -> Response[bytes]:
    return Response(msgspec.json.encode(content), media_type="application/json")


def _error_response(request: _Request, error: Exception) -> Response[bytes]:
    if isinstance(error, UdfError):
        return _json({"s": "error", "errmsg": str(error)})
    if isinstance(error, UnknownSymbolError | AmbiguousSymbolError):
        return _json({"s": "error", "errmsg": f"unknown_symbol: {error}"})
    problem_response(request, error)  # logs it
    return _json({"s": "error", "errmsg": problem_of(error).detail})


def _text(request: _Request, name: str) -> str:
    value: str = request.query_params.get(name, "")
    if not value:
        raise UdfError(f"{name} is missing")
    return value


def _integer(request: _Request, name: str, *, default: int | None = None) -> int:
    text = request.query_params.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError as error:
        raise UdfError(f"{name} is not a whole number") from error


def _window(request: _Request) -> OpenTimeRange:
    """Return the range of time that a request names, in seconds, as microseconds."""
    start, end = (
        _integer(request, "from", default=MIN_US // _S),
        _integer(request, "to", default=MAX_US // _S),
    )
    return OpenTimeRange(*(min(max(second * _S, MIN_US), MAX_US) for second in (start, end)))


@get("/config")
async def get_config(directory: Service[SymbolDirectory]) -> Response[bytes]:
    """Return what the datafeed supports."""
    return _json(views.config(sorted({symbol.venue for symbol in await directory.all()})))


@get("/time", media_type=MediaType.TEXT, sync_to_thread=False)
def get_time() -> str:
    """Return the time of this process in seconds."""
    return str(now_us() // _S)


@get("/symbols")
async def get_symbol(
    request: _Request, directory: Service[SymbolDirectory], history: Service[StoredHistory]
) -> Response[bytes]:
    """Describe a symbol."""
    symbol = await directory.resolve(_text(request, "symbol"))
    async with history.snapshot() as connection:
        known = {found.symbol: found for found in await read_divisions(connection, symbol.venue)}
    places = known[symbol].price_places if symbol in known else _DEFAULT_PLACES
    return _json(views.symbol_info(symbol, places))


@get("/search")
async def search(request: _Request, directory: Service[SymbolDirectory]) -> Response[bytes]:
    """Find symbols whose name contains a text."""
    text = request.query_params.get("query", "").lower()
    venue = request.query_params.get("exchange", "")
    limit = _integer(request, "limit", default=30)
    symbols = [
        symbol
        for symbol in await directory.all()
        if text in str(symbol).lower() and venue in ("", symbol.venue)
    ]
    return _json([views.found(symbol) for symbol in symbols[: max(0, limit)]])


@get("/history")
async def get_history(
    request: _Request, directory: Service[SymbolDirectory], history: Service[StoredHistory]
) -> Response[bytes]:
    """Return candles before `to`: as many as `countback` says, or else those since `from`.

    TradingView's documentation: with `countback`, `from` is ignored.
    """
    symbol = await directory.resolve(_text(request, "symbol"))
    interval = interval_of(_text(request, "resolution"))
    if interval is None:
        raise UdfError("there is no such resolution")
    window = _window(request)
    count = min(_integer(request, "countback", default=0), _MOST_CANDLES)
    everything = window._replace(start_us=MIN_US)
    async with history.snapshot() as connection:
        reader = CandlePageReader(connection, symbol, interval)

        async def newest(window: OpenTimeRange, limit: int) -> list[CandleView]:
            return (await reader.read(window, limit, newest=True, fill="none")).decoded()

        earlier: list[CandleView] = []
        if count > 0:
            candles = await newest(everything, count)
        else:
            candles = await newest(window, _MOST_CANDLES)
            if len(candles) < _LEAST_CANDLES:
                earlier = await newest(everything, _LEAST_CANDLES)
                candles = candles and earlier
    if candles:
        return _json(views.history(candles))
    next_time = {"nextTime": views.seconds(earlier[-1].open_time)} if earlier else {}
    return _json({"s": "no_data", **next_time})


@get("/quotes")
async def get_quotes(
    request: _Request, directory: Service[SymbolDirectory], history: Service[StoredHistory]
) -> Response[bytes]:
    """Return the last prices and changes of symbols."""
    names = _text(request, "symbols").split(",")
    symbols = {name: await directory.resolve(name, near=False) for name in dict.fromkeys(names)}
    async with history.snapshot() as connection:
        changes = {change.symbol: change for change in await read_changes_24h(connection, symbols.values())}
    found = {symbol: change_view(change) for symbol, change in changes.items()}
    quotes = [views.quote(name, symbol, found.get(symbol)) for name, symbol in symbols.items()]
    return _json({"s": "ok", "d": quotes})


async def _marks(
    request: _Request, directory: SymbolDirectory, history: StoredHistory
) -> list[dict[str, Any]]:
    """Return the marks of a range of time, oldest first: of alerts only those that the caller may see."""
    symbol = await directory.resolve(_text(request, "symbol"))
    start_us, end_us = _window(request)
    caller = caller_of(request.scope)
    async with history.snapshot() as connection:
        events: list[Signal | Firing | Fill] = [
            *await read_signals(
                connection,
                symbol=symbol,
                after=SignalKey(start_us),
                before=SignalKey(min(end_us + 1, MAX_US)),
                limit=_MOST_MARKS,
                newest=True,
            )
        ]
        if caller.may("alerts"):
            events += await read_firings(
                connection, symbol=symbol, before=None, limit=_MOST_MARKS, owner=caller.owner
            )
        events += [fill for _, fill in await read_orders(connection, symbol, _MOST_MARKS) if fill]
    found = [views.mark_of(event) for event in events]
    inside = [mark for mark in found if start_us // _S <= mark["time"] <= end_us // _S]
    return sorted(inside, key=lambda mark: (mark["time"], mark["id"]))


@get("/marks")
async def get_marks(
    request: _Request, directory: Service[SymbolDirectory], history: Service[StoredHistory]
) -> Response[bytes]:
    """Return the marks on candles: of signals, alerts and the bot's fills."""
    return _json(views.marks(await _marks(request, directory, history)))


@get("/timescale_marks")
async def get_timescale_marks(
    request: _Request, directory: Service[SymbolDirectory], history: Service[StoredHistory]
) -> Response[bytes]:
    """Return the same marks for the time scale."""
    return _json([views.timescale_mark(mark) for mark in await _marks(request, directory, history)])


UDF: Final = Router(
    "/udf",
    route_handlers=[
        *(get_config, get_time, get_symbol, search, get_history, get_quotes, get_marks, get_timescale_marks)
    ],
    exception_handlers={Exception: _error_response},
    include_in_schema=False,  # TradingView documents them
)
