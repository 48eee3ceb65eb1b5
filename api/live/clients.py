"""The connected clients of this process, and the writing of what is queued for them."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from api.live.client import Client, FrameWriter
from api.live.frames import EncodedMessage
from tickplant import metrics

_FLUSHED_AT_ONCE: Final = 256
"""Clients written to before yielding to the event loop."""


class ConnectedClients:
    """Holds all clients, and those among them that have something to write."""

    def __init__(self, *, queue_bytes: int) -> None:
        """Start without clients.

        Args:
            queue_bytes: the most that is queued for one slow client.
        """
        self._queue_bytes = queue_bytes
        self._clients: set[Client] = set()
        self._dirty: list[Client] = []

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[Client]:
        return iter(self._clients)

    def add(self, writer: FrameWriter) -> Client:
        """Return a new client, connected by a writer."""
        client = Client(writer, self._dirty, limit_bytes=self._queue_bytes)
        self._clients.add(client)
        metrics.API_CLIENTS.set(len(self._clients))
        return client

    def remove(self, client: Client) -> None:
        """Remove a client."""
        self._clients.discard(client)
        metrics.API_CLIENTS.set(len(self._clients))

    def broadcast(self, key: str, frame: EncodedMessage) -> None:
        """Send all clients a frame, in place of the one with the same key."""
        for client in self:
            client.push(key, frame)
        self.flush()

    def flush_of(self, client: Client) -> Callable[[], None]:
        """Return a function that writes the queue of one client."""
        return client.flush_now

    def flush(self) -> None:
        """Write the queues of all clients."""
        while self._dirty:
            metrics.API_SENDS.inc(self._dirty.pop().flush())

    async def flush_in_batches(self) -> None:
        """Write the queues of all clients, and let the event loop run after each batch."""
        dirty = self._dirty
        while dirty:
            batch = dirty[:_FLUSHED_AT_ONCE]
            del dirty[:_FLUSHED_AT_ONCE]
            metrics.API_SENDS.inc(sum([client.flush() for client in batch]))
            if dirty:
                await asyncio.sleep(0)
