"""What a venue has answered to one connection's subscriptions."""

import asyncio
from collections.abc import Collection, Iterable
from math import inf
from typing import Final

_QUIET_S: Final = 5.0
"""After the first answers, how long to wait for more."""
_QUIET_AFTER_REFUSAL_S: Final = 1.0
"""The same where a refusal has named no symbol, so that there may be no more."""


class SubscriptionAnswers:
    """Symbols that one connection was granted or refused.

    Args:
        symbols: those asked for.
    """

    def __init__(self, symbols: Collection[str]) -> None:
        self._symbols = frozenset(symbols)
        self._news = asyncio.Event()
        self.accepted: set[str] = set()
        self.refused: dict[str, str] = {}
        """Symbols with the venue's reason."""
        self.unnamed: list[str] = []
        """Reasons of refusals that name none of the symbols."""

    @property
    def silent(self) -> bool:
        """Whether the venue has answered nothing so far."""
        return not (self.accepted or self.refused or self.unnamed)

    def accept(self, symbols: Iterable[str]) -> None:
        """Note what the venue has granted."""
        self.accepted.update(symbols)
        for symbol in self.accepted & self.refused.keys():
            del self.refused[symbol]
        self._news.set()

    def refuse(self, reason: str, symbols: Iterable[str]) -> None:
        """Note what the venue has refused; it may not say of which symbols."""
        named = self._symbols.intersection(symbols) - self.accepted
        if named:
            self.refused.update(dict.fromkeys(named, reason))
        else:
            self.unnamed.append(reason)
        self._news.set()

    def pending(self, symbols: Iterable[str]) -> list[str]:
        """Return those of the symbols that have no answer yet."""
        return [symbol for symbol in symbols if symbol not in self.accepted and symbol not in self.refused]

    async def settled(self, symbols: Collection[str], timeout_s: float) -> None:
        """Wait until all symbols have an answer, or no more is to be expected."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while self.pending(symbols):
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), min(deadline_s - loop.time(), self._patience_s))
            except TimeoutError:
                return

    @property
    def _patience_s(self) -> float:
        if self.silent:
            return inf
        return _QUIET_AFTER_REFUSAL_S if self.unnamed else _QUIET_S
