"""The connections between a source and its sockets, grouped by subscription."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from sandbox.frames import View


class Listener(Protocol):
    """A connection that frames go to."""

    @property
    def view(self) -> View:
        """What it is subscribed to now."""

    @property
    def backlog_bytes(self) -> int:
        """What was written and the network hasn't taken yet."""

    def write(self, data: bytes | memoryview, *, exempt: bool = False) -> None:
        """Send whole frames; never blocks.

        Args:
            data: the frames.
            exempt: whether they are spared the faults of the connection.
        """

    async def drained(self) -> None:
        """Wait until the backlog is short; return at once when the connection has ended."""

    def disconnect(self, reason: str) -> None:
        """End the connection at once."""


class SandboxAudience:
    """All connections.

    Args:
        max_backlog_bytes: a connection that falls behind by more is ended where the source doesn't wait.
    """

    def __init__(self, max_backlog_bytes: int) -> None:
        self._max_backlog_bytes = max_backlog_bytes
        self._listeners: set[Listener] = set()
        self._groups: dict[View, list[Listener]] | None = None
        self._changed = asyncio.Event()

    @property
    def groups(self) -> Mapping[View, list[Listener]]:
        """The connections by subscription."""
        if self._groups is None:
            self._groups = {}
            for listener in self._listeners:
                self._groups.setdefault(listener.view, []).append(listener)
        return self._groups

    def add(self, listener: Listener) -> None:
        """Take in a connection."""
        self._listeners.add(listener)
        self.regroup()

    def remove(self, listener: Listener) -> None:
        """Let a connection go."""
        self._listeners.discard(listener)
        self.regroup()

    def regroup(self) -> None:
        """Look again at what the connections ask for."""
        self._groups = None
        self._changed.set()

    def send(self, view: View, frames: bytes | memoryview, *, exempt: bool = False) -> None:
        """Send whole frames to every connection of a view; see `Listener.write`."""
        if frames:
            for listener in self.groups.get(view, ()):
                listener.write(frames, exempt=exempt)

    def drop_laggards(self) -> None:
        """End the connections that don't keep up."""
        for listener in tuple(self._listeners):
            if listener.backlog_bytes > self._max_backlog_bytes:
                listener.disconnect(f"is {listener.backlog_bytes:,} bytes behind")
                self.remove(listener)

    async def drained(self) -> None:
        """Wait for the slowest connection."""
        for listener in tuple(self._listeners):
            await listener.drained()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on the connections' subscriptions holds."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def covers(self, streams: Collection[str]) -> bool:
        """Return whether each of the streams has a listener."""
        return set(streams) <= frozenset().union(*(view.streams for view in self.groups))
