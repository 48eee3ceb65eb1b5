"""Tells clients how the connections to venues are doing."""

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec import UNSET
from redis.exceptions import RedisError

from api.connections import Connections
from api.live.client import Client
from api.live.protocol import CONNECTIONS, Frame, Snapshot, Update, encode
from api.views import ConnectionView, connection_view
from tickplant.redis_client import is_passing

_PAUSE_S: Final = 1.0


class ConnectionWatch:
    """Looks every second, while there is somebody to tell."""

    def __init__(self, connections: Connections, flush: Callable[[], None]) -> None:
        """Take what is read, and what writes to clients whatever is queued for them."""
        self._connections = connections
        self._flush = flush
        self._clients: set[Client] = set()
        self._watched = asyncio.Event()
        self._views: list[ConnectionView] = []

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self._watched.wait()
            await asyncio.sleep(_PAUSE_S)
            try:
                await self.look()
            except (RedisError, OSError) as error:
                if not is_passing(error):  # an outage is told by the one who follows the live streams
                    raise

    async def look(self) -> None:
        """Tell clients of what has changed.

        Raises:
            RedisError: one of `tickplant.redis_client.OUTAGE`.
        """
        views = [connection_view(connection) for connection in await self._connections.read()]
        if views != self._views:
            self._views = views
            frame = encode(Update("connections", str(CONNECTIONS), UNSET, views))
            for client in self._clients:
                client.push(str(CONNECTIONS), frame)
            self._flush()

    def enter(self, client: Client) -> None:
        """Show a client what was found when last looked, and tell it of changes from then on."""
        client.send(self._snapshot())
        self._clients.add(client)
        self._watched.set()

    def leave(self, client: Client) -> None:
        """Tell a client no more."""
        self._clients.discard(client)
        if not self._clients:
            self._watched.clear()

    def _snapshot(self) -> Frame:
        return encode(Snapshot(str(CONNECTIONS), UNSET, UNSET, self._views))
