"""Serves venues over one port: their websockets and their REST interfaces."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websockets

from sandbox.connection import SandboxConnection
from sandbox.faults import FaultPlan
from sandbox.limits import SandboxLimits
from sandbox.open_venue import OpenVenue
from sandbox.routing import SandboxRouter
from sandbox.source import TradeSource
from sandbox.status import SandboxStatus, sum_up
from tickplant.background import background
from tickplant.clock import now_us

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
        return sum_up(self._venues)


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
    async with _listen(venues, host, port, options) as server:
        try:
            async with (
                background(_beat(venues.values(), options.beat_s)),
                background(_play(venues.values()), on_end=None) as playing,
            ):
                yield RunningSandbox(venues, _address(server), playing)
        finally:
            for venue in venues.values():
                venue.announce_end()
    if not playing.cancelled():
        playing.result()


@contextlib.asynccontextmanager
async def _listen(
    venues: Mapping[str, OpenVenue], host: str, port: int, options: SandboxOptions
) -> AsyncIterator[Server]:
    """Listen for websockets and REST requests for as long as the context lasts."""
    router = SandboxRouter(venues)
    async with serve_websockets(
        _converse,
        host,
        port,
        process_request=router.respond,
        process_response=router.add_provenance,
        create_connection=SandboxConnection,
        compression=None,
        server_header=None,
        ping_interval=options.ping_interval_s,
        ping_timeout=options.ping_timeout_s,
        close_timeout=1,
        write_limit=_WRITE_LIMIT_BYTES,
    ) as server:
        yield server


async def _converse(connection: ServerConnection) -> None:
    assert isinstance(connection, SandboxConnection)
    await connection.converse(connection)


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


def _address(server: Server) -> str:
    host, port = next(iter(server.sockets)).getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
