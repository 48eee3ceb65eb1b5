"""The service MarketData: live and stored trades and candles."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from google.protobuf.message import Message

from api.app import Services
from api.grpc.calls import Call, StreamEndedError
from api.grpc.messages import Piece, candle_pieces, message_of, trade_pieces
from api.grpc.routes import Routes, range_page_request, symbol_name
from api.grpc.streams import ResponseStream
from api.http.problems import bad_parameter
from api.live.events import EventIds
from api.live.frames import EncodedMessage
from api.live.stream_gate import StreamGate, StreamRequest
from api.routes.candles import get_ohlcv
from api.routes.prices import get_price
from api.routes.trades import get_trades
from tickplant.api.v1.market_data_pb2 import (
    CANDLE_FILTER_CLOSED,
    CANDLE_FILTER_OPEN,
    CANDLE_FILTER_UNSPECIFIED,
    Candle,
    CandleFilter,
    GetCandlesResponse,
    GetPriceResponse,
    GetTradesResponse,
    StreamCandlesResponse,
    StreamTradesResponse,
    Trade,
)
from tickplant.background import background
from tickplant.intervals import BASE
from tickplant.trade_rules import is_name

_WANTED: Final = {
    CANDLE_FILTER_UNSPECIFIED: None,
    CANDLE_FILTER_CLOSED: True,
    CANDLE_FILTER_OPEN: False,
}


class MarketData:
    """Translates the calls of MarketData."""

    def __init__(self, services: Services, gate: StreamGate) -> None:
        """Answer from services, and admit streams by a gate."""
        self._routes = Routes(services)
        self._gate = gate

    async def get_candles(self, call: Call) -> Message:
        """List stored candles."""
        request = call.request
        page = await self._routes.call(
            get_ohlcv,
            symbol=symbol_name(request.symbol),
            interval=request.interval or None,
            range_page=range_page_request(request),
            fill="previous" if request.fill else "none",
        )
        more = {"symbol": page.symbol, "interval": page.interval}
        return GetCandlesResponse(
            candles=[message_of(Candle, view, **more) for view in _rows(page.candles)],
            next_page_token=page.next or "",
            cursor=page.cursor or "",
        )

    async def get_trades(self, call: Call) -> Message:
        """List stored trades."""
        request = call.request
        page = await self._routes.call(
            get_trades, symbol=symbol_name(request.symbol), range_page=range_page_request(request)
        )
        return GetTradesResponse(
            trades=[message_of(Trade, view, symbol=page.symbol) for view in _rows(page.trades)],
            next_page_token=page.next or "",
            cursor=page.cursor or "",
        )

    async def get_price(self, call: Call) -> Message:
        """Return the last trade of a symbol."""
        price = await self._routes.call(get_price, symbol=symbol_name(call.request.symbol))
        return GetPriceResponse(trade=message_of(Trade, price), cursor=price.cursor or "")

    async def stream_candles(self, call: Call) -> None:
        """Send candles as they change."""
        request = call.request
        if request.filter not in _WANTED:
            names = ", ".join(CandleFilter.keys())
            raise bad_parameter("filter", f"{request.filter} is not the number of one of {names}")
        intervals = list(dict.fromkeys(request.intervals)) or [BASE]
        channels = [f"candles:{name}:{interval}" for name in _names(request) for interval in intervals]
        await self._stream(call, channels, StreamCandlesResponse, candle_pieces, _WANTED[request.filter])

    async def stream_trades(self, call: Call) -> None:
        """Send every trade."""
        channels = [f"trades:{name}" for name in _names(call.request)]
        await self._stream(call, channels, StreamTradesResponse, trade_pieces)

    async def _stream(
        self,
        call: Call,
        channels: list[str],
        response: type[Message],
        pieces: Callable[[EncodedMessage], Sequence[Piece]],
        wanted: bool | None = None,
    ) -> None:
        """Send what channels hold until either side ends the stream.

        Raises:
            Problem: it can't begin.
            StreamEndedError: the server ends it.
        """
        request = StreamRequest(
            channels, call.request.cursor or None, snapshot=not call.request.skip_snapshot
        )
        since = self._gate.admit(request, call.scope, call.ends)

        def make(ids: EventIds) -> ResponseStream:
            return ResponseStream(
                ids,
                response=response,
                pieces=pieces,
                wanted=wanted,
                failed=lambda error: self._gate.problem(error, call.caller),
            )

        async with self._gate.following(request, since, call.caller, make) as stream:
            await stream.begun()
            if stream.refusal is not None:
                raise self._gate.problem(stream.refusal, call.caller)
            await call.context.send_initial_metadata(())
            async with (
                background(_write(stream, call), on_end=None) as writing,
                background(stream.ended()) as ending,
            ):
                await asyncio.wait((writing, ending), return_when=asyncio.FIRST_COMPLETED)
            # A write to a client that doesn't read has been cut off: the status follows when it reads.
            if not writing.cancelled():
                writing.result()
        if stream.problem is not None:
            raise StreamEndedError(stream.problem, stream.sent)


async def _write(stream: ResponseStream, call: Call) -> None:
    async for part in stream.parts():
        await call.context.write(part)


def _names(request: Any) -> list[str]:
    """Return the names of the requested symbols, or wildcards, as in channels.

    Raises:
        Problem: they are contradictory, or none.
    """
    symbols, venues = list(request.symbols), list(request.venues)
    if symbols and venues:
        raise bad_parameter("venues", "give symbols or venues, not both: binance:BTCUSDT names both")
    for venue in venues:
        if not is_name(venue) or set(venue) & {":", "*"}:
            raise bad_parameter("venues", f"{venue[:40]!r} is not the name of a venue, such as binance")
    return [*map(symbol_name, symbols), *(f"{venue}:*" for venue in venues)] or ["*"]


def _rows(rows: Any) -> Any:
    """Return the views of a page, whose list the database may have encoded."""
    return msgspec.json.decode(rows) if isinstance(rows, msgspec.Raw) else rows
