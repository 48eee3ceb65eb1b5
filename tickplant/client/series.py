"""Candles or trades of a symbol: live, from history, and as frames."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

import msgspec

from tickplant.client.connection import new_backoff
from tickplant.client.errors import PlantError, TemporaryError
from tickplant.client.frames import to_pandas, to_polars
from tickplant.client.history import Page, PointInTime, Rest
from tickplant.client.messages import Message
from tickplant.client.progress import Progress, Row
from tickplant.client.subscription import ChannelSubscription

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

logger = logging.getLogger(__name__)


class Kind(NamedTuple, Generic[Row]):
    """Candles or trades."""

    row: type[Row]
    resource: str
    """The name in addresses."""
    rows: Callable[[Page], list[Row]]
    """Returns the rows of a page."""
    progress: Callable[[], Progress[Row]]


class Series(Generic[Row]):
    """Candles or trades of a symbol.

    `async for` yields them live: first the newest ones, unless `since` says where to start, then every
    change, without gaps or duplicates over any number of connections.
    """

    def __init__(
        self,
        kind: Kind[Row],
        rest: Rest,
        follow: Callable[[ChannelSubscription], AsyncGenerator[Message, None]],
        *,
        symbol: str,
        channel: str,
        since: str | None = None,
        wanted: Callable[[Row], bool] = lambda _: True,
        **parameters: Any,
    ) -> None:
        """Describe the series; nothing is requested yet."""
        self._kind: Kind[Row] = kind
        self._rest = rest
        self._follow = follow
        self._symbol = symbol
        self._channel = channel
        self._since = since
        self._wanted: Callable[[Row], bool] = wanted
        self._parameters = parameters

    def __aiter__(self) -> AsyncIterator[Row]:
        return self._live()

    async def history(
        self, start: PointInTime | None = None, end: PointInTime | None = None
    ) -> AsyncIterator[Row]:
        """Yield what is stored, oldest first.

        Args:
            start: inclusive; None for the oldest.
            end: exclusive; None for the newest.

        Raises:
            PlantError: the API refuses the request, or can't be reached.
        """
        async for page in self._pages(start, end):
            for row in self._kind.rows(page):
                if self._wanted(row):
                    yield row

    async def to_pandas(
        self, start: PointInTime | None = None, end: PointInTime | None = None, *, exact: bool = True
    ) -> "pd.DataFrame":
        """Return what is stored as a frame of pandas.

        Args:
            start: inclusive; None for the oldest.
            end: exclusive; None for the newest.
            exact: prices and sums as `Decimal`, with all digits, rather than as floats.
        """
        return to_pandas(self._kind.row, [row async for row in self.history(start, end)], exact=exact)

    async def to_polars(
        self, start: PointInTime | None = None, end: PointInTime | None = None, *, exact: bool = True
    ) -> "pl.DataFrame":
        """Return what is stored as a frame of polars; see `to_pandas`."""
        return to_polars(self._kind.row, [row async for row in self.history(start, end)], exact=exact)

    def _pages(self, start: PointInTime | None, end: PointInTime | None) -> AsyncGenerator[Page, None]:
        return self._rest.pages(self._kind.resource, self._symbol, start, end, **self._parameters)

    async def _live(self) -> AsyncIterator[Row]:
        progress = self._kind.progress()
        subscription = ChannelSubscription([self._channel], self._since)
        backoff = new_backoff()
        while True:
            resume_at: str | None = None
            async with aclosing(self._follow(subscription)) as messages:
                async for message in messages:
                    if message.type == "status":
                        continue
                    is_snapshot = message.type == "snapshot"
                    if is_snapshot and progress.start is not None:
                        async for page in self._missed(progress):
                            for row in filter(
                                self._wanted, progress.add(self._kind.rows(page), overlap=True)
                            ):
                                yield row
                            resume_at = page.cursor
                        if message.cursor and resume_at:
                            subscription.cursors[message.channel] = resume_at
                            break
                    elif is_snapshot and message.recovered is False and self._since:
                        raise PlantError(
                            "not_recoverable",
                            f"changes after the cursor {self._since} are no longer available: read history,"
                            " and start without a cursor",
                        )
                    if not is_snapshot:
                        backoff.reset()
                    for row in filter(self._wanted, progress.add(self._rows(message), overlap=is_snapshot)):
                        yield row
            await asyncio.sleep(backoff.next_s())

    async def _missed(self, progress: Progress[Row]) -> AsyncIterator[Page]:
        """Yield pages of what may have been missed, until there are no more."""
        backoff = new_backoff()
        logger.warning("%s: live changes were lost; reading history", self._channel)
        while True:
            try:
                async for page in self._pages(progress.start, None):
                    yield page
            except TemporaryError as error:
                logger.warning("%s: %s; trying again", self._channel, error)
                await asyncio.sleep(backoff.next_s())
            else:
                return

    def _rows(self, message: Message) -> list[Row]:
        content = bytes(message.content)
        if content == b"null":
            return []
        row = self._kind.row
        if content.startswith(b"["):
            return msgspec.json.decode(content, type=list[row])  # type: ignore[valid-type]
        return [msgspec.json.decode(content, type=row)]
