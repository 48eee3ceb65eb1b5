"""The venue's answers to the subscriptions of one connection."""

import asyncio
import contextlib
from collections.abc import Collection, Iterable
from math import inf
from typing import Final

_NEXT_ANSWER_S: Final = 5.0
"""How long to wait for the next answer after one."""
_AFTER_UNNAMED_REFUSAL_S: Final = 1.0
"""The same after a refusal that names no symbol, which may be the last answer."""


class SubscriptionAnswers:
    """The symbols that the venue accepted or refused on one connection.

    Args:
        symbols: the requested symbols.
    """

    def __init__(self, symbols: Collection[str]) -> None:
        self._symbols = frozenset(symbols)
        self._changed = asyncio.Event()
        self.accepted: set[str] = set()
        self.refused: dict[str, str] = {}
        """The venue's reason by symbol."""
        self.unnamed: list[str] = []
        """Reasons of refusals that name no symbol."""

    @property
    def silent(self) -> bool:
        """Whether the venue has not answered yet."""
        return not (self.accepted or self.refused or self.unnamed)

    def accept(self, symbols: Iterable[str]) -> None:
        """Record symbols that the venue accepted."""
        new = self._symbols.intersection(symbols) - self.accepted
        if not new:
            return
        self.accepted |= new
        for symbol in self.accepted & self.refused.keys():
            del self.refused[symbol]
        self._changed.set()

    def refuse(self, reason: str, symbols: Iterable[str]) -> None:
        """Record a refusal; `symbols` is empty if the venue names none."""
        named = self._symbols.intersection(symbols) - self.accepted
        if named:
            self.refused.update(dict.fromkeys(named, reason))
        else:
            self.unnamed.append(reason)
        self._changed.set()

    def refuse_unaccepted(self) -> None:
        """Count refusals that name no symbol as refusals of all symbols that are not accepted."""
        if self.unnamed:
            reason = f"{self.unnamed[-1]} (the venue names no symbol; no trade of this one has arrived)"
            self.refused |= dict.fromkeys(self._symbols - self.accepted, reason)
            self.unnamed.clear()

    def pending(self, symbols: Iterable[str]) -> list[str]:
        """Return the symbols that have no answer yet."""
        return [symbol for symbol in symbols if symbol not in self.accepted and symbol not in self.refused]

    async def wait(self, symbols: Collection[str], timeout_s: float) -> None:
        """Wait until every symbol has an answer or no further answer is expected."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while self.pending(symbols):
            self._changed.clear()
            try:
                await asyncio.wait_for(
                    self._changed.wait(), min(deadline_s - loop.time(), self._next_answer_s)
                )
            except TimeoutError:
                return

    async def wait_for_change(self, timeout_s: float | None) -> None:
        """Wait for the next answer that changes anything, at most so long; None to wait without a limit."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        self._changed.clear()

    @property
    def _next_answer_s(self) -> float:
        """How long to wait for the next answer."""
        if self.silent:
            return inf
        return _AFTER_UNNAMED_REFUSAL_S if self.unnamed else _NEXT_ANSWER_S
