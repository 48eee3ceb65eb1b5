"""Reads of the API over REST, page by page."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct

from tickplant.client.errors import PlantError, TemporaryError, error_of_response
from tickplant.client.messages import Candle, Trade

PAGE_LENGTH: Final = 1000
PointInTime = str | datetime
"""A point in time: RFC 3339, or with a time zone."""


class Page(Struct, frozen=True):
    """A page of candles or trades, oldest first."""

    next: str | None
    """Leads to the next page."""
    cursor: str | None
    """Where live changes continue from this answer."""
    candles: list[Candle] = []
    trades: list[Trade] = []


class Rest:
    """The API over HTTP."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        """Send requests through a client whose base address is the API's."""
        self._client = client

    async def get(self, path: str, **parameters: Any) -> bytes:
        """Return the body of an answer.

        Args:
            path: below `/api/v1/`.
            parameters: those that are None are left out.

        Raises:
            TemporaryError: no answer, or one that says to try again.
            PlantError: the request was refused.
        """
        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            answer = await self._client.get(f"/api/v1/{path}", params=given)
        except httpx.InvalidURL as error:
            raise PlantError("unreachable", f"not an address: {error}") from error
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise TemporaryError("unreachable", f"the API can't be reached: {reason}") from error
        if not answer.is_success:
            raise error_of_response(answer.status_code, answer.content)
        return answer.content

    async def pages(
        self,
        resource: str,
        symbol: str,
        start: PointInTime | None,
        end: PointInTime | None,
        **parameters: Any,
    ) -> AsyncGenerator[Page, None]:
        """Yield the pages of a time range, from its start on.

        Args:
            resource: `ohlcv` or `trades`.
            symbol: `venue:symbol`.
            start: inclusive; None for the oldest that is stored.
            end: exclusive; None for the newest.
            parameters: others of the resource.
        """
        # Only with a start do pages lead forward.
        parameters |= {"start": time_text(start or "1970-01-01T00:00:00Z"), "limit": PAGE_LENGTH}
        parameters |= {"end": None if end is None else time_text(end)}
        after = None
        while True:
            text = await self.get(f"{resource}/{quote(symbol, safe=':/')}", **parameters, after=after)
            page = msgspec.json.decode(text, type=Page)
            yield page
            after = page.next
            if after is None:
                return


def time_text(moment: PointInTime) -> str:
    """Return a time as the API reads it.

    Raises:
        ValueError: it has no time zone.
    """
    if isinstance(moment, str):
        return moment
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone: use datetime(..., tzinfo=UTC)")
    return moment.isoformat()
