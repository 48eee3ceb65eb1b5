"""What the feeds of one venue share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from ingest.buffer import FrameBuffer
from ingest.connection import SocketRead
from ingest.history.backfill import Backfill
from ingest.output import FeedOutput, Limit, Lock
from ingest.venues.base import VenueAdapter
from tickplant.proxies import Proxy


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedContext:
    """What the feeds of one venue share."""

    venue: VenueAdapter
    base_url: str
    """The venue's websocket address."""
    proxy: Proxy | None
    """To connect through; None for a direct connection."""
    publisher: FeedOutput
    buffer: FrameBuffer
    """Bounds the frames that are received and not yet published."""
    connects: Limit | None
    """The venue's limit of connection attempts; None if it has none."""
    messages: Limit | None
    """The venue's limit of messages sent to it; None if it has none."""
    subscribing: asyncio.Lock
    """Held from connecting until subscribed: a new connection must not wait for messages of other feeds."""
    connection_lock: Lock | None
    """Held while connected, if the venue allows only one connection."""
    backfill: Backfill | None
    """Fetches trades lost between connections; None for a venue without history."""
    record: Callable[[list[SocketRead]], None] | None = None
    """Receives all frames before they are parsed; must not raise."""
