"""A venue's REST history: pages of past trades, within its budget, with its refusals told apart."""

from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from ingest.rate import Rate
from ingest.venues.base import BusyError, Gap, Venue
from tickplant.clock import now_us
from tickplant.errors import PoisonError, TickplantError
from tickplant.market import Trade

_BAN_S: Final = 60.0
"""How long to leave a venue alone that bans without saying for how long."""
_BUSY_S: Final = 5.0
_BANNING: Final = (418, 429)


class UnavailableError(TickplantError):
    """There is no answer now; later there may be one."""


class RefusedError(TickplantError):
    """The venue answers that it won't give these trades."""


class VenueHistory:
    """One venue's history."""

    def __init__(self, venue: Venue, *, base_url: str, client: httpx.AsyncClient, rate: Rate) -> None:
        self._venue = venue
        self._base_url = base_url
        self._client = client
        self._rate = rate

    async def read_page(self, gap: Gap) -> tuple[Trade, ...]:
        """Return the first page of a gap's trades, ascending; trades around the gap may be in it.

        Raises:
            UnavailableError: no answer, or none now.
            RefusedError: the venue won't; the message is its reason.
        """
        await self._rate.take(f":{gap.symbol}" if self._venue.limits.requests_per_symbol else "")
        try:
            answer = await self._client.get(
                self._base_url + self._venue.history_path(gap), headers=dict(self._venue.history_headers)
            )
        except httpx.HTTPError as error:
            raise UnavailableError(f"{type(error).__name__}: {error}") from error
        if answer.status_code in _BANNING:
            seconds = _retry_after_s(answer)
            await self._rate.ban(seconds)
            raise UnavailableError(f"status {answer.status_code}: left alone for {seconds:.0f} s")
        if answer.status_code >= 500:
            raise UnavailableError(f"status {answer.status_code}")
        if answer.status_code != 200:
            raise RefusedError(f"status {answer.status_code}: {answer.text[:200]}")
        try:
            return self._venue.parse_history(answer.content, gap.symbol, now_us())
        except BusyError as error:
            await self._rate.ban(_BUSY_S)
            raise UnavailableError(str(error)) from error
        except PoisonError as error:
            raise RefusedError(str(error)) from error


def _retry_after_s(answer: httpx.Response) -> float:
    """Return how long the venue wants to be left alone: seconds, or a date, as HTTP has it."""
    text = answer.headers.get("Retry-After", "")
    try:
        return max(0.1, float(text))
    except ValueError:
        pass
    try:
        return max(0.1, parsedate_to_datetime(text).timestamp() - now_us() / 1e6)
    except ValueError:
        return _BAN_S
