"""Publishes the state of a connection from a task of its own, so that no caller waits for Redis."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from ingest.output import FeedOutput
from tickplant.clock import now_us
from tickplant.redis_errors import OUTAGE
from tickplant.wire import ConnectionStatus, SymbolProblem

_INTERVAL_S: Final = 10.0


class ConnectionReporter:
    """Publishes the state of one connection when it changes and every few seconds.

    Args:
        name: the connection's name.
        venue: the venue's name.
        symbols: of the connection.
        publisher: writes the state to Redis.
    """

    def __init__(self, name: str, venue: str, symbols: Sequence[str], publisher: FeedOutput) -> None:
        self._name = name
        self._venue = venue
        self._symbols = tuple(symbols)
        self._publisher = publisher
        self._state, self._reason, self._since_us = "connecting", "", now_us()
        self._problems: dict[tuple[str, str], SymbolProblem] = {}
        self._changed = asyncio.Event()

    @property
    def problems(self) -> tuple[SymbolProblem, ...]:
        """The problems of symbols."""
        return tuple(self._problems.values())

    def set_state(self, state: str, reason: str = "") -> None:
        """Set the state of the connection; it is published soon. Attempts in an outage don't change it."""
        if (self._state, state) == ("down", "connecting"):
            return
        if state != self._state:
            self._since_us = now_us()
        self._state, self._reason = state, reason
        self._changed.set()

    def note_problem(self, symbol: str, state: str, reason: str) -> bool:
        """Record a problem of a symbol; return whether the symbol did not have it before."""
        problem = SymbolProblem(symbol, state, reason)
        new = (symbol, state) not in self._problems
        if self._problems.get((symbol, state)) != problem:
            self._problems[symbol, state] = problem
            self._changed.set()
        return new

    def clear_problem(self, symbol: str, *states: str) -> bool:
        """Remove problems of a symbol; return whether there were any."""
        cleared = [state for state in states if self._problems.pop((symbol, state), None) is not None]
        if cleared:
            self._changed.set()
        return bool(cleared)

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _INTERVAL_S)
            self._changed.clear()
            await self.publish()

    async def publish(self) -> None:
        """Write the state to Redis now."""
        await self._publisher.report(
            ConnectionStatus(
                self._name,
                self._venue,
                self._symbols,
                self._state,
                self._since_us,
                self._reason,
                reported_at_us=now_us(),
                problems=self.problems,
            )
        )

    async def remove(self) -> None:
        """Remove the connection's state from Redis, as it ends on purpose."""
        with contextlib.suppress(*OUTAGE):
            await self._publisher.remove_status(self._name)
