"""Serves venues over one port: their websockets and their REST interfaces.

The first part of a path names the venue: `/coinbase/products/BTC-USD/trades`; a path without is Binance's.
`/sandbox/status` and `/sandbox/tape` are the sandbox's own: `SandboxStatus` as JSON, and a
`SymbolTape` by symbol.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from msgspec import Struct
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from sandbox.connection import SandboxConnection
from sandbox.faults import FaultPlan
from sandbox.limits import SandboxLimits
from sandbox.open_venue import OpenVenue, VenueStatus
from sandbox.source import State, SymbolStatus, TradeSource
from sandbox.venue import Answer
from tickplant.background import background
from tickplant.clock import now_us
from tickplant.provenance import HEADER

STATUS_PATH: Final = "/sandbox/status"
TAPE_PATH: Final = "/sandbox/tape"
ROOT_VENUE: Final = "binance"
"""The venue of paths that name none."""
_WRITE_LIMIT_BYTES: Final = 256 * 1024


class SandboxOptions(Struct, frozen=True, kw_only=True):
    """How venues are served."""

    limits: Mapping[str, SandboxLimits] = {}
    """By venue; by default the venue's own."""
    history_status: int | None = None
    """REST history is off, and answered with this; None: it is on."""
    plan: FaultPlan | None = None
    """The faults; None: there are none."""
    ping_interval_s: float = 20
    ping_timeout_s: float | None = 60
    """None: a ping may stay unanswered."""
    beat_s: float = 1.0
    """The time between heartbeats."""
    backlog_bytes: int = 16 * 1024 * 1024
    """What may lie unsent for a slow client of a source that doesn't wait."""


class SandboxAddress(Struct, frozen=True):
    """Where a venue is."""

    ws_url: str
    rest_url: str


class SandboxStatus(Struct, frozen=True):
    """The progress of all venues, together and one by one."""

    state: State
    sent: int
    total: int | None
    """Trades on the tapes; None where there is no end."""
    symbols: dict[str, SymbolStatus]
    bans: int
    faults: dict[str, int]
    """How often each was injected."""
    venues: dict[str, VenueStatus]


class RunningSandbox:
    """Venues that are being served.

    Args:
        venues: by name.
        address: host and port that they listen on.
        playing: the task that sends their trades.
    """

    def __init__(self, venues: Mapping[str, OpenVenue], address: str, playing: asyncio.Task[None]) -> None:
        self._venues = venues
        self.ws_url = f"ws://{address}"
        self.rest_url = f"http://{address}"
        self.playing = playing

    @property
    def addresses(self) -> dict[str, SandboxAddress]:
        """Where each venue is."""
        return {
            name: SandboxAddress(f"{self.ws_url}/{name}", f"{self.rest_url}/{name}") for name in self._venues
        }

    def status(self) -> SandboxStatus:
        """Return how far the venues have come."""
        return _sum_up(self._venues)


@contextlib.asynccontextmanager
async def serve(
    sources: Iterable[TradeSource],
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    options: SandboxOptions | None = None,
    clock_us: Callable[[], int] = now_us,
) -> AsyncIterator[RunningSandbox]:
    """Serve venues for as long as the context lasts.

    Args:
        sources: what they send, once, from now on; one a venue.
        host: address to listen on.
        port: 0 takes a free one.
        options: how they are served.
        clock_us: this machine's time, for what has nothing to do with the venues'.

    Raises:
        OSError: the port can't be had.
        Exception: whatever ended a source before its time, when the context is left.
    """
    options = options or SandboxOptions()
    venues = {source.venue.name: _open(source, options, clock_us) for source in sources}

    async def handle(connection: ServerConnection) -> None:
        assert isinstance(connection, SandboxConnection)
        await connection.converse(connection)

    def respond(connection: ServerConnection, request: Request) -> Response | None:
        assert isinstance(connection, SandboxConnection)
        answer = _respond(connection, request, venues)
        return None if answer is None else _http(answer)

    def mark(connection: ServerConnection, request: Request, response: Response) -> None:
        """Set the header with the provenance of the venue's trades on every response."""
        venue = venues.get(_split(request.path, venues)[0])
        if venue is not None:
            response.headers[HEADER] = venue.source.provenance

    async with serve_websockets(
        handle,
        host,
        port,
        process_request=respond,
        process_response=mark,
        create_connection=SandboxConnection,
        compression=None,
        server_header=None,
        ping_interval=options.ping_interval_s,
        ping_timeout=options.ping_timeout_s,
        close_timeout=1,
        write_limit=_WRITE_LIMIT_BYTES,
    ) as server:
        try:
            async with (
                background(_beat(venues.values(), options.beat_s)),
                background(_play(venues.values())) as playing,
            ):
                yield RunningSandbox(venues, _address(server), playing)
        finally:
            for venue in venues.values():
                venue.announce_end()
    if not playing.cancelled():
        playing.result()


def _open(source: TradeSource, options: SandboxOptions, clock_us: Callable[[], int]) -> OpenVenue:
    return OpenVenue(
        source,
        options.limits.get(source.venue.name, source.venue.limits),
        clock_us=clock_us,
        backlog_bytes=options.backlog_bytes,
        history_status=options.history_status,
        plan=options.plan,
    )


async def _play(venues: Iterable[OpenVenue]) -> None:
    try:
        async with asyncio.TaskGroup() as tasks:
            for venue in venues:
                tasks.create_task(venue.source.run(venue.audience))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _beat(venues: Iterable[OpenVenue], interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        for venue in venues:
            venue.beat()


def _respond(
    connection: SandboxConnection, request: Request, venues: Mapping[str, OpenVenue]
) -> Answer | None:
    """Answer a request that is not for a websocket; None lets a websocket open."""
    if request.path.partition("?")[0] == STATUS_PATH:
        return _json(_sum_up(venues))
    if request.path.partition("?")[0] == TAPE_PATH:
        return _json({name: tape for venue in venues.values() for name, tape in venue.source.tape().items()})
    name, path = _split(request.path, venues)
    if name not in venues:
        known = ", ".join(f"/{venue}/" for venue in venues)
        return Answer(404, {"Content-Type": "text/plain"}, f"the venues here are at {known}\n".encode())
    return venues[name].respond(connection, path, request.headers)


def _json(content: object) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, msgspec.json.encode(content))


def _split(path: str, venues: Mapping[str, OpenVenue]) -> tuple[str, str]:
    """Return the venue that a path names, and the path at that venue."""
    for name in venues:
        rest = path.removeprefix(f"/{name}")
        if rest != path and rest[:1] in ("", "/", "?"):
            return name, rest if rest.startswith("/") else f"/{rest}"
    return ROOT_VENUE, path


def _http(answer: Answer) -> Response:
    headers = Headers(answer.headers)
    headers["Content-Length"] = str(len(answer.body))
    headers["SandboxConnection"] = "close"
    return Response(answer.status, HTTPStatus(answer.status).phrase, headers, answer.body)


def _sum_up(venues: Mapping[str, OpenVenue]) -> SandboxStatus:
    played = [venue.source.status() for venue in venues.values()]
    statuses = [venue.status(status) for venue, status in zip(venues.values(), played, strict=True)]
    totals = [status.total for status in played]
    return SandboxStatus(
        _state([status.state for status in played]),
        sum(status.sent for status in played),
        None if None in totals else sum(total or 0 for total in totals),
        {name: symbol for status in played for name, symbol in status.symbols.items()},
        sum(status.bans for status in statuses),
        dict(sum((Counter(status.faults) for status in statuses), Counter())),
        dict(zip(venues, statuses, strict=True)),
    )


def _state(states: Sequence[State]) -> State:
    """Return `waiting` if any venue still waits, `finished` if all have finished."""
    for state in ("waiting", "playing"):
        if state in states:
            return state
    return "finished"


def _address(server: Server) -> str:
    host, port = next(iter(server.sockets)).getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
