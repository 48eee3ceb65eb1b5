"""A venue's REST history: pages of past trades, within its budget, with its refusals told apart."""

from collections.abc import Callable, Iterable
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

import httpx

from ingest.publisher import Publisher
from ingest.rate import Rate
from ingest.venue_http import open_http
from ingest.venues.base import BusyError, Gap, KlineVenue, Venue
from tickplant.clock import now_us
from tickplant.errors import PoisonError, TickplantError
from tickplant.klines import Kline
from tickplant.market import Trade
from tickplant.proxies import Proxies

AnswerT = TypeVar("AnswerT")

_BAN_S: Final = 60.0
"""How long to leave a venue alone that bans without saying for how long."""
_BUSY_S: Final = 5.0
_BANNING: Final = (418, 429)
_REQUEST_TIMEOUT_S: Final = 15.0


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
        body = await self._get(self._venue.history_path(gap), gap.symbol)
        return await self._parsed(lambda: self._venue.parse_history(body, gap.symbol, now_us()))

    async def read_klines(self, symbol: str, start_us: int, end_us: int) -> tuple[Kline, ...]:
        """Return the venue's own candles of one minute, of as many minutes as it gives at once, at most.

        Args:
            symbol: as the venue writes it.
            start_us: the first to open, inclusive.
            end_us: exclusive.

        Raises:
            UnavailableError: no answer, or none now.
            RefusedError: the venue won't; the message is its reason.
        """
        venue = self._venue
        if not isinstance(venue, KlineVenue):
            raise RefusedError(f"there are no candles of {venue.name} to compare with")
        body = await self._get(venue.klines_path(symbol, start_us, end_us), symbol)
        klines = await self._parsed(lambda: venue.parse_klines(body))
        return tuple(kline for kline in klines if start_us <= kline.open_time_us < end_us)

    async def _parsed(self, parse: Callable[[], AnswerT]) -> AnswerT:
        try:
            return parse()
        except BusyError as error:
            await self._rate.ban(_BUSY_S)
            raise UnavailableError(str(error)) from error
        except PoisonError as error:
            raise RefusedError(str(error)) from error

    async def _get(self, path: str, symbol: str) -> bytes:
        await self._rate.take(f":{symbol}" if self._venue.limits.requests_per_symbol else "")
        try:
            answer = await self._client.get(self._base_url + path, headers=dict(self._venue.history_headers))
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
        return answer.content


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


def open_client(publisher: Publisher, base_urls: Iterable[str], proxies: Proxies) -> httpx.AsyncClient:
    """Return a client for venues' history, whose answers are refused where their trades would be mixed.

    Args:
        publisher: knows what is stored.
        base_urls: of the venues.
        proxies: lead there.

    Raises:
        SettingsError: the proxy for one of the addresses can't be used.
    """

    async def check(answer: httpx.Response) -> None:
        if answer.status_code == httpx.codes.OK:
            await publisher.claim_source(answer.headers)

    client = open_http(base_urls, proxies, timeout_s=_REQUEST_TIMEOUT_S)
    client.event_hooks = {"response": [check]}
    return client
