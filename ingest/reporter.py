"""The state of a connection, told to everybody downstream without anybody waiting for Redis."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from ingest.publisher import Publisher
from tickplant.clock import now_us
from tickplant.redis_client import OUTAGE
from tickplant.wire import ConnectionStatus, SymbolProblem

_INTERVAL_S: Final = 10.0


class ConnectionReporter:
    """Tells the latest state of one connection, when it changes and every few seconds.

    Args:
        name: of the connection.
        venue: its name.
        symbols: that the connection is for.
        publisher: where it is told.
    """

    def __init__(self, name: str, venue: str, symbols: Sequence[str], publisher: Publisher) -> None:
        self._name = name
        self._venue = venue
        self._symbols = tuple(symbols)
        self._publisher = publisher
        self._state, self._reason, self._since_us = "connecting", "", now_us()
        self._problems: dict[tuple[str, str], SymbolProblem] = {}
        self._changed = asyncio.Event()

    @property
    def problems(self) -> tuple[SymbolProblem, ...]:
        """What is wrong with symbols."""
        return tuple(self._problems.values())

    def tell(self, state: str, reason: str = "") -> None:
        """Note the state of the connection."""
        if state != self._state:
            self._since_us = now_us()
        self._state, self._reason = state, reason
        self._changed.set()

    def note_problem(self, symbol: str, state: str, reason: str) -> bool:
        """Note what is wrong with a symbol; say whether it is new."""
        problem = SymbolProblem(symbol, state, reason)
        new = (symbol, state) not in self._problems
        if self._problems.get((symbol, state)) != problem:
            self._problems[symbol, state] = problem
            self._changed.set()
        return new

    def clear_problem(self, symbol: str, *states: str) -> bool:
        """Forget what was wrong with a symbol; say whether anything was."""
        cleared = [state for state in states if self._problems.pop((symbol, state), None) is not None]
        if cleared:
            self._changed.set()
        return bool(cleared)

    async def run(self) -> None:
        """Tell until cancelled."""
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
                told_us=now_us(),
                problems=self.problems,
            )
        )

    async def forget(self) -> None:
        """Take back what was told, as the connection is given up on purpose."""
        with contextlib.suppress(*OUTAGE):
            await self._publisher.forget(self._name)
