"""Requests to a venue's REST history: within its rate limit, with bans, refusals and outages told apart."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

import httpx

from ingest.history.page import HistoryPage, TimeBounds, check_page
from ingest.history.retry_after import retry_after_s
from ingest.publisher import Publisher
from ingest.rate_limits import RateLimit, request_limit
from ingest.venue_http import open_venue_http
from ingest.venues.base import BadRow
from ingest.venues.base_rest import BusyError, HistoryAdapter, KlineAdapter, MissingRange, UnreadableError
from tickplant import metrics
from tickplant.clock import NowUs, now_us
from tickplant.errors import PoisonError, TickplantError
from tickplant.klines import Kline
from tickplant.proxies import Proxies
from tickplant.redis_client import RedisClient

AnswerT = TypeVar("AnswerT")

Keep = Callable[[str, bytes, str], Awaitable[None]]
"""Stores a dead letter: source, payload, reason."""

_BUSY_S: Final = 5.0
BANNING: Final = (418, 429)
_REQUEST_TIMEOUT_S: Final = 15.0
"""For connecting, and between two blocks of an answer."""
_PASSING: Final = (408, 425)
"""Statuses that refuse a request only temporarily."""
_ANSWER_S: Final = 30.0
"""The longest time for a whole answer."""
_MOST_BYTES: Final = 16 * 1024 * 1024
_KEPT_A_PAGE: Final = 10
"""The most refused rows of one page that become dead letters; all are counted."""
_REMEMBERED: Final = 10_000
"""Refused rows that are remembered as dead letters, as pages are requested repeatedly."""


class HistoryUnavailableError(TickplantError):
    """History can't be read at the moment."""


class HistoryRefusedError(TickplantError):
    """The venue refuses to give these trades."""


class VenueHistory:
    """Reads pages of trades and candles from one venue's REST interface."""

    def __init__(
        self,
        venue: HistoryAdapter,
        *,
        base_url: str,
        client: httpx.AsyncClient,
        rate: RateLimit,
        keep: Keep,
        clock_us: NowUs = now_us,
    ) -> None:
        """Initialize the history; see `make_history`.

        Args:
            venue: the adapter.
            base_url: of its REST interface.
            client: stays the caller's.
            rate: the venue's request limit.
            keep: stores refused rows.
            clock_us: the current time.
        """
        self._venue = venue
        self._base_url = base_url
        self._client = client
        self._rate = rate
        self._keep = keep
        self._clock_us = clock_us
        self._kept: OrderedDict[bytes, None] = OrderedDict()

    async def read_page(self, gap: MissingRange, bounds: TimeBounds) -> HistoryPage:
        """Request the first page of a gap's trades; refused rows become dead letters.

        Args:
            gap: the missing ids.
            bounds: the times between which the gap's trades must lie.

        Raises:
            HistoryUnavailableError: no answer, or a temporary refusal.
            HistoryRefusedError: the venue refuses; the message is its reason.
            UnreadableError: the answer can't be decoded.
        """
        body = await self._get(self._venue.history_path(gap), gap.symbol)
        received_us = self._clock_us()
        rows = await self._parsed(lambda: self._venue.parse_history(body, gap.symbol, received_us))
        page = check_page(rows, gap, bounds)
        if page.refused:
            await self._keep_refused(gap.symbol, page.refused)
        return page

    async def read_klines(self, symbol: str, start_us: int, end_us: int) -> tuple[Kline, ...]:
        """Request the venue's own candles of one minute, at most as many as it gives at once.

        Args:
            symbol: as the venue writes it.
            start_us: open time of the first, inclusive.
            end_us: exclusive.

        Raises:
            HistoryUnavailableError: no answer, or a temporary refusal.
            HistoryRefusedError: the venue refuses; the message is its reason.
        """
        venue = self._venue
        if not isinstance(venue, KlineAdapter):
            raise HistoryRefusedError(f"{venue.name} has no candles to compare with")
        body = await self._get(venue.klines_path(symbol, start_us, end_us), symbol)
        try:
            klines = await self._parsed(lambda: venue.parse_klines(body))
        except UnreadableError as error:
            raise HistoryUnavailableError(str(error)) from error
        return tuple(kline for kline in klines if start_us <= kline.open_time_us < end_us)

    async def _parsed(self, parse: Callable[[], AnswerT]) -> AnswerT:
        try:
            return parse()
        except BusyError as error:
            await self._rate.ban(_BUSY_S)
            raise HistoryUnavailableError(str(error)) from error
        except UnreadableError:
            raise
        except PoisonError as error:
            raise HistoryRefusedError(str(error)) from error

    async def _get(self, path: str, symbol: str) -> bytes:
        await self._rate.take(f":{symbol}" if self._venue.limits.requests_per_symbol else "")
        url, headers = self._base_url + path, dict(self._venue.history_headers)
        try:
            async with (
                asyncio.timeout(_ANSWER_S),
                self._client.stream("GET", url, headers=headers) as answer,
            ):
                await self._check_status(answer)
                return await _read_body(answer)
        except (httpx.HTTPError, httpx.StreamError, TimeoutError) as error:
            raise HistoryUnavailableError(f"{type(error).__name__}: {error}") from error

    async def _check_status(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if status == 200:
            return
        retry_after = answer.headers.get_list("Retry-After")
        if status in BANNING or (status >= 500 and retry_after):
            seconds = retry_after_s(retry_after, self._clock_us())
            metrics.INGEST_BANS.labels(self._venue.name).inc()
            await self._rate.ban(seconds)
            raise HistoryUnavailableError(f"status {status}: the venue is left alone for {seconds:.0f} s")
        if status >= 500 or status in _PASSING:
            raise HistoryUnavailableError(f"status {status}")
        text = (await _read_body(answer))[:200].decode(errors="replace")
        raise HistoryRefusedError(f"status {status}: {text}")

    async def _keep_refused(self, symbol: str, refused: list[BadRow]) -> None:
        kept = 0
        for row in refused:
            key = row.payload[:1_000]
            if key in self._kept:
                continue
            self._kept[key] = None
            if len(self._kept) > _REMEMBERED:
                self._kept.popitem(last=False)
            reason = "implausible" if row.reason.startswith("implausible") else "broken"
            metrics.INGEST_REFUSED_ROWS.labels(self._venue.name, reason).inc()
            if kept < _KEPT_A_PAGE:
                kept += 1
                await self._keep(f"{self._venue.name}:{symbol} history", row.payload, row.reason)


def make_history(
    venue: HistoryAdapter,
    *,
    rest_url: str | None,
    redis: RedisClient,
    client: httpx.AsyncClient,
    publisher: Publisher,
) -> VenueHistory:
    """Make a venue's history, within the request limit that all processes share.

    Args:
        venue: the adapter.
        rest_url: base address of its REST interface; None for the venue's own.
        redis: holds the limit; stays the caller's.
        client: stays the caller's; see `open_history_client`.
        publisher: stores rows that were refused as dead letters.
    """
    return VenueHistory(
        venue,
        base_url=rest_url or venue.rest_url,
        client=client,
        rate=request_limit(redis, venue),
        keep=publisher.write_dead_letter,
    )


def open_history_client(
    publisher: Publisher, base_urls: Iterable[str], proxies: Proxies
) -> httpx.AsyncClient:
    """Return a client for venues' history that refuses answers from a source other than the stored trades'.

    Args:
        publisher: checks the source.
        base_urls: of the venues' REST interfaces.
        proxies: for these addresses.

    Raises:
        SettingsError: a proxy for one of the addresses is invalid.
    """

    async def check(answer: httpx.Response) -> None:
        if answer.status_code == httpx.codes.OK:
            await publisher.claim_source(answer.headers)

    client = open_venue_http(base_urls, proxies, timeout_s=_REQUEST_TIMEOUT_S)
    client.event_hooks = {"response": [check]}
    return client


async def _read_body(answer: httpx.Response) -> bytes:
    """Read an answer's body.

    Raises:
        HistoryUnavailableError: it is longer than any page.
    """
    parts, size = [], 0
    async for part in answer.aiter_bytes():
        size += len(part)
        if size > _MOST_BYTES:
            raise HistoryUnavailableError(f"an answer of more than {_MOST_BYTES // 2**20} MiB")
        parts.append(part)
    return b"".join(parts)
