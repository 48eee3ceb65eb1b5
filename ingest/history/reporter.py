"""Publishes failures of a venue's history as the state of a connection."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from ingest.publisher import Publisher
from tickplant.clock import now_us
from tickplant.redis_errors import OUTAGE
from tickplant.wire import ConnectionStatus

_INTERVAL_S: Final = 10.0
"""How long history may fail before that is published, and how often it is published again."""


class HistoryReporter:
    """Publishes that a venue's history fails; a history that works has no entry among the connections."""

    def __init__(
        self,
        *,
        name: str,
        venue: str,
        symbols: Sequence[str],
        publisher: Publisher,
        clock_s: Callable[[], float],
    ) -> None:
        """Initialize without a failure.

        Args:
            name: of the entry among the connections.
            venue: the venue's name.
            symbols: those whose history is read.
            publisher: writes the entry.
            clock_s: a monotonic clock.
        """
        self._name = name
        self._venue = venue
        self._symbols = tuple(symbols)
        self._publisher = publisher
        self._clock_s = clock_s
        self._failing_since_s: float | None = None
        self._reason = ""
        self._published_s: float | None = None

    def note_failure(self, reason: str) -> None:
        """Note a failed attempt."""
        if self._failing_since_s is None:
            self._failing_since_s = self._clock_s()
        self._reason = reason

    def note_success(self) -> None:
        """Note a successful attempt."""
        self._failing_since_s = None

    async def update(self) -> None:
        """Publish a failure that lasts; remove the entry after the failure."""
        if self._failing_since_s is None:
            if self._published_s is not None:
                await self._publisher.remove_status(self._name)
                self._published_s = None
        elif self._clock_s() - max(self._failing_since_s, self._published_s or 0) >= _INTERVAL_S:
            await self.publish_down(self._reason)

    async def publish_down(self, reason: str) -> None:
        """Publish that history fails."""
        now_s = self._clock_s()
        since_us = now_us()
        if self._failing_since_s is not None:
            since_us -= int((now_s - self._failing_since_s) * 1e6)
        self._published_s = now_s
        await self._publisher.report(
            ConnectionStatus(
                self._name, self._venue, self._symbols, "down", since_us, reason, reported_at_us=now_us()
            )
        )

    async def remove(self) -> None:
        """Remove the entry, as history is no longer read."""
        with contextlib.suppress(*OUTAGE):
            await self._publisher.remove_status(self._name)
