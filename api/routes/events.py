"""Live updates as server-sent events."""

from typing import Annotated, Any

from litestar import Response, get
from litestar.openapi.spec import Example
from litestar.params import HeaderParameter, QueryParameter
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from api.live.event_gate import EventGate, EventRequest
from api.routes.request_checks import request_check
from api.routes.responses import (
    BAD_PARAMETER,
    CONFLICT,
    ORIGIN_REFUSED,
    UNAVAILABLE,
    UNKNOWN_SYMBOL,
    Service,
)


class EventResponse(Response[str]):
    """A stream of events, which lasts until either side ends it."""

    def __init__(self, gate: EventGate, request: EventRequest) -> None:
        super().__init__("", media_type="text/event-stream")
        self._gate = gate
        self._request = request

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        """Return what sends the stream."""
        return _EventResponse(self._gate, self._request)


class _EventResponse(ASGIResponse):
    def __init__(self, gate: EventGate, request: EventRequest) -> None:
        super().__init__(media_type="text/event-stream")
        self._gate = gate
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the client."""
        await self._gate.serve(self._request, scope, receive, send)


ChannelsText = Annotated[
    str,
    QueryParameter(
        min_length=1,
        description="Channels as over the websocket, with commas between them; wildcards, too.",
        examples=[Example(value="candles:binance:BTCUSDT:1m,trades:binance:BTCUSDT")],
    ),
]
EveryText = Annotated[
    str | None,
    QueryParameter(
        description="Send changes once in an interval from 10ms to 60s, with the newest state of each.",
        examples=[Example(value="250ms")],
    ),
]
Snapshot = Annotated[bool, QueryParameter(description="Whether channels start with a snapshot.")]
SinceText = Annotated[
    str | None,
    QueryParameter(
        description="Where the stream starts: the `cursor` of a REST response, or an event's id. The header"
        " Last-Event-ID has precedence."
    ),
]
LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID",
        description="The id of the last event that was received: the stream continues after it.",
    ),
]


@get(
    "/sse",
    summary="Server-sent events",
    tags=["live"],
    media_type="text/event-stream",
    responses=BAD_PARAMETER | ORIGIN_REFUSED | UNKNOWN_SYMBOL | CONFLICT | UNAVAILABLE,
    before_request=request_check(()),  # of parameters: nothing is written
)
async def get_sse(
    event_gate: Service[EventGate],
    channels: ChannelsText,
    every: EveryText = None,
    snapshot: Snapshot = True,
    since: SinceText = None,
    last_event_id: LastEventId = None,
) -> EventResponse:
    """Stream the websocket's messages as events, for programs that can't use websockets.

    The data of each event is a message in JSON, as over `/ws`; its id is where the whole stream continues.
    Browsers (`new EventSource("/sse?channels=...")`) connect again by themselves, with the id in the header
    Last-Event-ID: they get every closed candle, trade, signal and firing that they missed, once. What is no
    longer available starts with a snapshot with `"recovered": false`.

    All channels must be valid; otherwise the response is a problem document. A comment is sent every 15
    seconds if nothing else is. If the API ends the stream, its last message is `{"type": "closed", "code":
    ..., "reason": ...}`, with a close code of the websocket. A client that reads slowly gets only the newest
    states, and is closed when trades, signals or firings pile up.
    """
    names = [name.strip() for name in channels.split(",") if name.strip()]
    resumed = last_event_id or since or None
    request = EventRequest(names, resumed, every, snapshot, last_event_id=last_event_id)
    return EventResponse(event_gate, request)
