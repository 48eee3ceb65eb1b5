"""Requests to a venue's REST history, within its rate limit; distinguishes outages, bans and refusals."""

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
from tickplant.network_errors import network_reason
from tickplant.proxies import Proxies
from tickplant.redis_client import RedisClient

AnswerT = TypeVar("AnswerT")

WriteDeadLetter = Callable[[str, bytes, str], Awaitable[None]]
"""Writes a dead letter: source, payload, reason."""

_BUSY_S: Final = 5.0
"""How long requests stop after the venue asked for a later retry."""
BANNING: Final = (418, 429)
"""Statuses by which venues ban, or warn of a ban."""
_REQUEST_TIMEOUT_S: Final = 15.0
"""For connecting, and between two blocks of an answer."""
_TEMPORARY: Final = (408, 425)
"""Statuses of temporary refusals."""
_ANSWER_TIMEOUT_S: Final = 30.0
"""For a whole answer."""
_MOST_BYTES: Final = 16 * 1024 * 1024
_DEAD_LETTERS_PER_PAGE: Final = 10
"""The most refused rows of a page that become dead letters; all are counted."""
_REMEMBERED_ROWS: Final = 10_000
"""Refused rows that are remembered, so that a page requested again does not count them twice."""


class HistoryUnavailableError(TickplantError):
    """History is unavailable at the moment."""


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
        write_dead_letter: WriteDeadLetter,
        clock_us: NowUs = now_us,
    ) -> None:
        """Initialize the history; see `make_history`.

        Args:
            venue: the adapter.
            base_url: of its REST interface.
            client: stays the caller's.
            rate: the venue's request limit.
            write_dead_letter: receives refused rows.
            clock_us: the current time.
        """
        self._venue = venue
        self._base_url = base_url
        self._client = client
        self._rate = rate
        self._write_dead_letter = write_dead_letter
        self._clock_us = clock_us
        self._refused: OrderedDict[bytes, None] = OrderedDict()

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
        rows = await self._parse(lambda: self._venue.parse_history(body, gap.symbol, received_us))
        page = check_page(rows, gap, bounds)
        if page.refused:
            await self._note_refused(gap.symbol, page.refused)
        return page

    async def read_klines(self, symbol: str, start_us: int, end_us: int) -> tuple[Kline, ...]:
        """Request the venue's candles of one minute, at most as many as one request returns.

        Args:
            symbol: in the venue's notation.
            start_us: open time of the first, inclusive.
            end_us: exclusive.

        Raises:
            HistoryUnavailableError: no answer, or a temporary refusal.
            HistoryRefusedError: the venue refuses; the message is its reason.
        """
        venue = self._venue
        if not isinstance(venue, KlineAdapter):
            raise HistoryRefusedError(f"{venue.name} serves no candles")
        body = await self._get(venue.klines_path(symbol, start_us, end_us), symbol)
        try:
            klines = await self._parse(lambda: venue.parse_klines(body))
        except UnreadableError as error:
            raise HistoryUnavailableError(str(error)) from error
        return tuple(kline for kline in klines if start_us <= kline.open_time_us < end_us)

    async def _parse(self, parse: Callable[[], AnswerT]) -> AnswerT:
        """Return a parsed answer; a ban follows where the venue asks for a later retry."""
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
                asyncio.timeout(_ANSWER_TIMEOUT_S),
                self._client.stream("GET", url, headers=headers) as answer,
            ):
                await self._check_status(answer)
                return await _read_body(answer)
        except (httpx.HTTPError, httpx.StreamError, TimeoutError) as error:
            raise HistoryUnavailableError(network_reason(error)) from error

    async def _check_status(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if status == 200:
            return
        retry_after = answer.headers.get_list("Retry-After")
        if status in BANNING or (status >= 500 and retry_after):
            seconds = retry_after_s(retry_after, self._clock_us())
            metrics.INGEST_BANS.labels(self._venue.name).inc()
            await self._rate.ban(seconds)
            raise HistoryUnavailableError(f"status {status}: no requests for {seconds:.0f} s")
        if status >= 500 or status in _TEMPORARY:
            raise HistoryUnavailableError(f"status {status}")
        text = (await _read_body(answer))[:200].decode(errors="replace")
        raise HistoryRefusedError(f"status {status}: {text}")

    async def _note_refused(self, symbol: str, refused: list[BadRow]) -> None:
        """Count refused rows, each once, and write the first ones to the dead letters."""
        written = 0
        for row in refused:
            key = row.payload[:1_000]
            if key in self._refused:
                continue
            self._refused[key] = None
            if len(self._refused) > _REMEMBERED_ROWS:
                self._refused.popitem(last=False)
            reason = "implausible" if row.reason.startswith("implausible") else "broken"
            metrics.INGEST_REFUSED_ROWS.labels(self._venue.name, reason).inc()
            if written < _DEAD_LETTERS_PER_PAGE:
                written += 1
                await self._write_dead_letter(f"{self._venue.name}:{symbol} history", row.payload, row.reason)


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
        publisher: writes refused rows to the dead letters.
    """
    return VenueHistory(
        venue,
        base_url=rest_url or venue.rest_url,
        client=client,
        rate=request_limit(redis, venue),
        write_dead_letter=publisher.write_dead_letter,
    )


def open_history_client(
    publisher: Publisher, base_urls: Iterable[str], proxies: Proxies
) -> httpx.AsyncClient:
    """Return a client for venues' history that refuses answers of a source other than the stored trades'.

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
            raise HistoryUnavailableError(f"the answer is longer than {_MOST_BYTES // 2**20} MiB")
        parts.append(part)
    return b"".join(parts)
