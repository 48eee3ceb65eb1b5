"""The websocket endpoints, and what they say to a plain request."""

from typing import Annotated, Final

import msgspec
from litestar import get, websocket
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from api.http.problems import MEDIA_TYPE, Problem, bad_parameter
from api.live.gate import Socket, WebsocketGate
from api.live.protocol import Channel
from api.queries.symbols import SymbolDirectory
from api.routes.candles import IntervalText, WindowText, parse_interval
from api.routes.parameters import SymbolText, resolve
from api.routes.responses import BAD_PARAMETER, UNKNOWN_SYMBOL, ProblemDocument, Service
from tickplant.intervals import INTERVALS

_PLAIN: Final[dict[int, ResponseSpec]] = {
    426: ResponseSpec(
        ProblemDocument,
        media_type=MEDIA_TYPE,
        description="The request was a plain one: this is a websocket.",
        generate_examples=False,
    )
}

SinceText = Annotated[
    str | None, QueryParameter(description="A cursor to go on from, of a message or of a REST answer.")
]


@get("/ws", summary="Websocket", tags=["live"], status_code=101, responses=_PLAIN)
async def get_ws() -> None:
    """Speak JSON over a websocket, one message a frame.

    Requests are `{"op": "subscribe", "id": 1, "channels": [...]}`, likewise `unsubscribe`, and
    `{"op": "ping", "id": 2}`. Channels are `price:SYMBOL`, `trades:SYMBOL`, `candles:SYMBOL:INTERVAL` such as
    `candles:binance:BTCUSDT:1m`, `gaps:SYMBOL`, `signals:SYMBOL` of strategies, `alerts:SYMBOL` that fired,
    `bot:SYMBOL` for the paper bot's account, `unified:SYMBOL` for the price with its latest averages and
    signals, `stats:SYMBOL` for its last 24 hours; `gaps`, `signals`, `alerts`, `bot` and `stats` alone for
    those of every symbol, and `connections` for how the connections to venues are doing. The answer is
    `{"type": "ack", "id": 1, "op": ..., "channels": [...]}` or `{"type": "pong", "id": 2}`; for each channel,
    or request, that can't be served it is `{"type": "error", "id": 1, "code": ..., "message": ...}`, and the
    socket goes on.

    A channel begins with `{"type": "snapshot", "channel": ..., "cursor": ..., "data": ...}`. Then come
    messages of type `price`, `candle` or `trades`, as things change. A candle comes whole each time: with
    `"closed": false` while it is open, once with `"closed": true`, and again with a higher `revision` where a
    trade came late; a closed one with `"complete": null` is of a venue that numbers nothing. `gaps` begins
    with those that are not healed, and tells each that opens or changes by messages of type `gap`; `signals`
    and `alerts` begin with the newest, and tell each once by messages of type `signal` and `firing`; `bot`
    and `unified` tell the whole state by messages of type `account` and `unified`; `stats` and `connections`
    tell everything anew, by messages of their own names. A client that reads slowly gets only the newest
    state of each; where trades, signals or firings pile up, it is closed with code 4008.

    Every message of a channel has a `cursor`, but for `stats` and `connections`. Subscribe with
    `"since": cursor`, or with `"since": {channel: cursor}`, to go on from there: the channel begins with
    `{"type": "resumed"}` and all that was missed, or, where that is no longer there, with a snapshot that
    says `"recovered": false`. The cursor of a REST answer will do. A snapshot that says so in the middle
    tells that updates were lost.

    `{"type": "status", "state": "stalled"}` tells that nothing comes for now, `"live"` that it does again.
    """
    raise _plain()


@get(
    "/ws/price/{symbol:path}",
    summary="Websocket of a price",
    tags=["live"],
    status_code=101,
    responses=_PLAIN | BAD_PARAMETER | UNKNOWN_SYMBOL,
)
async def get_ws_price(symbol: SymbolText, since: SinceText = None) -> None:
    """Subscribe to `price:SYMBOL` by connecting; otherwise as `/ws`."""
    raise _plain()


@get(
    "/ws/ohlcv/{symbol:path}",
    summary="Websocket of candles",
    tags=["live"],
    status_code=101,
    responses=_PLAIN | BAD_PARAMETER | UNKNOWN_SYMBOL,
)
async def get_ws_ohlcv(
    symbol: SymbolText, interval: IntervalText = None, window: WindowText = None, since: SinceText = None
) -> None:
    """Subscribe to `candles:SYMBOL:INTERVAL` by connecting; otherwise as `/ws`."""
    raise _plain()


@websocket("/ws")
async def ws(socket: Socket, websocket_gate: Service[WebsocketGate]) -> None:
    """Serve a client."""
    await websocket_gate.serve(socket)


@websocket("/ws/price/{symbol:path}")
async def ws_price(
    socket: Socket,
    symbol: SymbolText,
    websocket_gate: Service[WebsocketGate],
    directory: Service[SymbolDirectory],
    since: SinceText = None,
) -> None:
    """Serve a client that wants a price."""

    async def wanted() -> bytes:
        return _subscribe(Channel("price", *await resolve(directory, symbol)), since)

    await websocket_gate.serve(socket, wanted)


@websocket("/ws/ohlcv/{symbol:path}")
async def ws_ohlcv(
    socket: Socket,
    symbol: SymbolText,
    websocket_gate: Service[WebsocketGate],
    directory: Service[SymbolDirectory],
    interval: IntervalText = None,
    window: WindowText = None,
    since: SinceText = None,
) -> None:
    """Serve a client that wants candles."""

    async def wanted() -> bytes:
        length = parse_interval(interval, window)
        if length not in INTERVALS:
            raise bad_parameter("interval", f"{length} is not live; the intervals are {', '.join(INTERVALS)}")
        return _subscribe(Channel("candles", *await resolve(directory, symbol), length), since)

    await websocket_gate.serve(socket, wanted)


def _subscribe(channel: Channel, since: str | None) -> bytes:
    return msgspec.json.encode({"op": "subscribe", "channels": [str(channel)], "since": since})


def _plain() -> Problem:
    return Problem(426, "upgrade_required", "connect with a websocket", headers={"Upgrade": "websocket"})
