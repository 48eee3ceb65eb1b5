"""The websocket endpoints, and their responses to plain HTTP requests."""

from typing import Annotated, Final

import msgspec
from litestar import get, websocket
from litestar.params import QueryParameter

from api.access.middleware import CHECKS_ITSELF
from api.http.problems import Problem, bad_parameter
from api.live.channel_names import LIVE_INTERVALS
from api.live.gate import Socket, WebsocketGate
from api.live.protocol import Channel
from api.queries.symbols import SymbolDirectory
from api.routes.candles import IntervalText, WindowText, parse_interval
from api.routes.parameters import SymbolText, resolve
from api.routes.responses import BAD_PARAMETER, UNKNOWN_SYMBOL, Service, documented_problem

_PLAIN: Final = {
    426: documented_problem("This is a websocket endpoint, and the request no websocket handshake."),
}

SinceText = Annotated[
    str | None, QueryParameter(description="The cursor to resume at, of a message or of a REST response.")
]


@get("/ws", summary="Websocket", tags=["live"], status_code=101, responses=_PLAIN)
async def get_ws() -> None:
    """Speak JSON over a websocket, one message per frame.

    Requests are `{"op": "subscribe", "id": 1, "channels": [...]}`, `unsubscribe` likewise, and
    `{"op": "ping", "id": 2}`. Channels are `price:SYMBOL`, `trades:SYMBOL`, `candles:SYMBOL:INTERVAL` such as
    `candles:binance:BTCUSDT:1m`, `gaps:SYMBOL`, `signals:SYMBOL` of strategies, `alerts:SYMBOL` for
    firings, `bot:SYMBOL` for the paper bot's account, `unified:SYMBOL` for the price with its latest
    averages and signals, `stats:SYMBOL` for the last 24 hours; `gaps`, `signals`, `alerts`, `bot` and
    `stats` alone for those of all symbols, and `connections` for the states of venue connections. The
    response is `{"type": "ack", "id": 1, "op": ..., "channels": [...]}` or `{"type": "pong", "id": 2}`,
    and `{"type": "error", "id": 1, "code": ..., "message": ...}` for each channel or request that can't
    be served; the socket stays open.

    A channel starts with `{"type": "snapshot", "channel": ..., "cursor": ..., "data": ...}`. Changes
    follow as messages of type `price`, `candle` or `trades`. A candle is always sent whole: with
    `"closed": false` while it is open, once with `"closed": true`, and again with a higher `revision` if
    a trade arrives late; a closed one with `"complete": null` is of a venue without trade ids. `gaps`
    starts with the gaps that are not healed, and sends a `gap` for each that opens or changes; `signals`
    and `alerts` start with the newest, and send each new one as a `signal` or `firing`; `bot` and
    `unified` send the whole state as an `account` or `unified`; `stats` and `connections` send the whole
    state as messages of their own names. A client that reads slowly gets only the newest state of each;
    if trades, signals or firings pile up, the connection is closed with code 4008.

    Every message of a channel has a `cursor`, except those of `stats` and `connections`. To resume,
    subscribe with `"since": cursor`, or with `"since": {channel: cursor}`: the channel starts with
    `{"type": "resumed"}` and everything that was missed, or, if that is no longer available, with a
    snapshot with `"recovered": false`. The cursor of a REST response works, too. If such a snapshot
    arrives later, updates were lost.

    `{"type": "status", "state": "stalled"}` means that no updates arrive for now, `"live"` that they
    arrive again.
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


@websocket("/ws", opt=CHECKS_ITSELF)
async def ws(socket: Socket, websocket_gate: Service[WebsocketGate]) -> None:
    """Serve a client."""
    await websocket_gate.serve(socket)


@websocket("/ws/price/{symbol:path}", opt=CHECKS_ITSELF)
async def ws_price(
    socket: Socket,
    symbol: SymbolText,
    websocket_gate: Service[WebsocketGate],
    directory: Service[SymbolDirectory],
    since: SinceText = None,
) -> None:
    """Serve a client, subscribed to a price."""

    async def first_request() -> bytes:
        return _subscribe(Channel("price", *await resolve(directory, symbol)), since)

    await websocket_gate.serve(socket, first_request)


@websocket("/ws/ohlcv/{symbol:path}", opt=CHECKS_ITSELF)
async def ws_ohlcv(
    socket: Socket,
    symbol: SymbolText,
    websocket_gate: Service[WebsocketGate],
    directory: Service[SymbolDirectory],
    interval: IntervalText = None,
    window: WindowText = None,
    since: SinceText = None,
) -> None:
    """Serve a client, subscribed to candles."""

    async def first_request() -> bytes:
        length = parse_interval(interval, window)
        if length not in LIVE_INTERVALS:
            raise bad_parameter(
                "interval", f"{length} is not available live; the intervals are {', '.join(LIVE_INTERVALS)}"
            )
        return _subscribe(Channel("candles", *await resolve(directory, symbol), length), since)

    await websocket_gate.serve(socket, first_request)


def _subscribe(channel: Channel, since: str | None) -> bytes:
    return msgspec.json.encode({"op": "subscribe", "channels": [str(channel)], "since": since})


def _plain() -> Problem:
    return Problem(426, "upgrade_required", "connect with a websocket", headers={"Upgrade": "websocket"})
