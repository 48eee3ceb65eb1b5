"""Subscribes to symbols, and finds those refused if the venue does not name them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from ingest.answers import SubscriptionAnswers
from ingest.output import Limit
from ingest.venues.base import VenueAdapter
from tickplant.backoff import bound_s

_FIRST_TIMEOUT_S: Final = 30.0
_TIMEOUT_S: Final = 10.0
_NO_ANSWER: Final = "the venue does not answer the subscription"
RETRY_REFUSED_S: Final = 2.0
"""The first wait before refused symbols are requested again: a venue may refuse everything briefly."""
RETRY_REFUSED_CAP_S: Final = 3600.0
"""The longest wait: a symbol that the venue does not list is refused permanently."""
RETRY_UNNAMED_CAP_S: Final = 60.0
"""The longest wait where nothing is acknowledged: every symbol may be affected."""

Send = Callable[[str], Awaitable[None]]
"""Sends a message on a connection."""


class Subscription:
    """The subscriptions of one connection.

    Args:
        venue: the adapter.
        symbols: to subscribe to.
        send: sends a message on the connection.
        answers: collects the venue's answers.
        messages: the venue's limit of messages; None if it has none.
    """

    def __init__(
        self,
        venue: VenueAdapter,
        symbols: Sequence[str],
        send: Send,
        answers: SubscriptionAnswers,
        messages: Limit | None,
    ) -> None:
        self._venue = venue
        self._symbols = tuple(symbols)
        self._send = send
        self._answers = answers
        self._messages = messages

    async def subscribe_all(self) -> None:
        """Subscribe to all symbols and wait for the answers.

        Raises:
            TimeoutError: there is no answer.
        """
        await self._subscribe(self._symbols, _FIRST_TIMEOUT_S)
        if self._venue.acknowledges and self._answers.silent:
            raise TimeoutError("subscriptions were not acknowledged in time")

    async def find_refused(self) -> None:
        """Bisect the unanswered symbols: request them in ever smaller groups until each has an answer."""
        if not self._venue.acknowledges:
            return
        groups = _halves(self._answers.pending(self._symbols))
        while groups:
            group = groups.pop()
            await self._subscribe(group, _TIMEOUT_S)
            unanswered = self._answers.pending(group)
            if len(group) > 1:
                groups += _halves(unanswered)
            elif unanswered:
                reason = self._answers.unnamed[-1] if self._answers.unnamed else _NO_ANSWER
                self._answers.refuse(reason, unanswered)

    async def retry_refused(self) -> AsyncIterator[str]:
        """Request refused symbols periodically, one by one, while there are any.

        Yields:
            Symbols that are now accepted.
        """
        attempts = 0
        while self._answers.refused:
            await asyncio.sleep(bound_s(attempts, first_s=RETRY_REFUSED_S, cap_s=RETRY_REFUSED_CAP_S))
            attempts += 1
            for symbol, reason in list(self._answers.refused.items()):
                del self._answers.refused[symbol]
                await self._subscribe([symbol], _TIMEOUT_S)
                if self._answers.pending([symbol]):
                    self._answers.refuse((self._answers.unnamed or [reason])[-1], [symbol])
                elif symbol in self._answers.accepted:
                    yield symbol

    async def retry_unnamed(self) -> AsyncIterator[None]:
        """Request symbols again that may be refused, where the venue acknowledges nothing.

        A refusal that names no symbol may be that of any symbol without a trade. These are requested again,
        with backoff, until they trade.

        Yields:
            Whenever the refused or accepted symbols may have changed.
        """
        clock = asyncio.get_running_loop().time
        attempts, due_s = 0, None
        while True:
            self._answers.refuse_unaccepted()
            yield
            if not self._answers.refused:
                attempts, due_s = 0, None
            elif due_s is None:
                due_s = clock() + RETRY_REFUSED_S
            elif clock() >= due_s:
                await self._subscribe(list(self._answers.refused), 0)
                attempts += 1
                due_s = clock() + bound_s(attempts, first_s=RETRY_REFUSED_S, cap_s=RETRY_UNNAMED_CAP_S)
            await self._answers.wait_for_change(None if due_s is None else due_s - clock())

    async def _subscribe(self, symbols: Sequence[str], timeout_s: float) -> None:
        self._answers.unnamed.clear()
        for message in self._venue.subscribe_messages(symbols):
            if self._messages is not None:
                await self._messages.take()
            await self._send(message)
        if self._venue.acknowledges:
            await self._answers.wait(symbols, timeout_s)


def _halves(symbols: Sequence[str]) -> list[Sequence[str]]:
    middle = (len(symbols) + 1) // 2
    return [half for half in (symbols[middle:], symbols[:middle]) if half]
