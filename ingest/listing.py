"""Fetches a venue's list of symbols and checks the requested symbols against it."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

import httpx

from ingest.history.client import BANNING
from ingest.history.retry_after import retry_after_s
from ingest.rate_limits import RateLimit
from ingest.venues.base_rest import TRADING, ListedSymbol, ListingAdapter
from tickplant.backoff import Backoff
from tickplant.clock import now_us
from tickplant.errors import PoisonError, TickplantError
from tickplant.market import Trade
from tickplant.near_matches import NearNames
from tickplant.network_errors import network_reason
from tickplant.outage import OutageLog

_log = logging.getLogger(__name__)

_MAX_BYTES: Final = 64 * 1024 * 1024
_ANSWER_S: Final = 60.0
CHECK_S: Final = 24 * 3600.0
"""How often the list is fetched."""
_SILENCE_CHECK_S: Final = 600.0
"""How often symbols are checked for silence."""
SILENT_S: Final = 24 * 3600.0
"""A symbol without a trade for this time is reported as silent; it may be delisted or rarely traded."""


class ListingError(TickplantError):
    """The list of symbols can't be fetched at the moment."""


class ListedFeed(Protocol):
    """A feed whose symbols are checked."""

    symbols: tuple[str, ...]

    def note_listing(self, symbol: str, state: str, reason: str) -> None:
        """Record a state of a symbol; an empty reason clears the state."""

    def last_trade(self, symbol: str) -> Trade | None:
        """Return the newest trade of a symbol that was received."""


async def fetch_listing(
    venue: ListingAdapter, base_url: str, client: httpx.AsyncClient, rate: RateLimit | None = None
) -> Mapping[str, ListedSymbol]:
    """Fetch the venue's symbols, by name.

    Args:
        venue: the adapter.
        base_url: of its REST interface.
        client: stays the caller's.
        rate: the venue's request limit; None to request without one.

    Raises:
        ListingError: no answer, or one that can't be parsed.
    """
    if rate is not None:
        await rate.take()
    try:
        async with (
            asyncio.timeout(_ANSWER_S),
            client.stream("GET", base_url + venue.symbols_path) as answer,
        ):
            body = bytearray()
            async for block in answer.aiter_bytes():
                body += block
                if len(body) > _MAX_BYTES:
                    raise ListingError(f"the answer is longer than {_MAX_BYTES:,} bytes")
            if rate is not None and answer.status_code in BANNING:
                await rate.ban(retry_after_s(answer.headers.get_list("Retry-After"), now_us()))
            if answer.status_code != 200:
                raise ListingError(
                    f"status {answer.status_code}: {bytes(body[:200]).decode(errors='replace')}"
                )
        return {symbol.name: symbol for symbol in venue.parse_symbols(bytes(body))}
    except (httpx.HTTPError, httpx.StreamError, TimeoutError) as error:
        raise ListingError(network_reason(error)) from error
    except PoisonError as error:
        raise ListingError(str(error)) from error


def find_problems(
    symbols: Iterable[str], listed: Mapping[str, ListedSymbol]
) -> dict[str, tuple[str, str] | None]:
    """Return each symbol's state, unknown or halted, and the reason; None for a symbol that trades."""
    near = NearNames(name.lower() for name in listed)
    by_lower = {name.lower(): name for name in listed}
    found: dict[str, tuple[str, str] | None] = {}
    for symbol in symbols:
        entry = listed.get(symbol)
        if entry is None:
            names = [by_lower[name] for name in near.find(symbol, most=3)]
            similar = f"; similar symbols are {', '.join(names)}" if names else ""
            found[symbol] = "unknown", f"the venue does not list it{similar}"
        elif entry.status != TRADING:
            found[symbol] = "halted", f"the venue does not trade it: {entry.status}"
        else:
            found[symbol] = None
    return found


class ListingCheck:
    """Checks a venue's symbols at the start and daily, and reports silent ones."""

    def __init__(
        self,
        *,
        name: str,
        venue: ListingAdapter | None,
        base_url: str,
        client: httpx.AsyncClient,
        rate: RateLimit | None,
        feeds: Sequence[ListedFeed],
        silent_s: float = SILENT_S,
        silence_check_s: float = _SILENCE_CHECK_S,
        clock_s: Callable[[], float] | None = None,
    ) -> None:
        """Initialize the check.

        Args:
            name: of the venue.
            venue: the adapter; None where the venue has no list.
            base_url: of its REST interface.
            client: stays the caller's.
            rate: the venue's request limit.
            feeds: the venue's feeds.
            silent_s: a symbol without a trade for this time is silent.
            silence_check_s: how often that is checked.
            clock_s: a monotonic clock; the event loop's if None.
        """
        self.name = f"{name}/symbols"
        self._venue = venue
        self._base_url = base_url
        self._client = client
        self._rate = rate
        self._feeds = feeds
        self._silent_s = silent_s
        self._silence_check_s = silence_check_s
        self._clock_s = clock_s or asyncio.get_running_loop().time
        self._last_seen: dict[tuple[int, str], tuple[Trade | None, float]] = {}
        self._backoff = Backoff(first_s=30.0, cap_s=3600.0)
        self._outage = OutageLog(
            _log,
            f"{self.name}: the list of symbols can't be fetched, retrying",
            f"{self.name}: the list of symbols is available again",
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Check until `stop` is set."""
        due_s = self._clock_s()
        while not stop.is_set():
            pause_s = self._silence_check_s
            if self._venue is not None:
                if self._clock_s() >= due_s:
                    due_s = self._clock_s() + await self._check_listing(self._venue)
                pause_s = min(pause_s, due_s - self._clock_s())
            self._check_silence()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.1, pause_s))

    async def report_down(self, reason: str) -> None:
        """Do nothing: nothing depends on the check, and its failure is logged."""

    async def _check_listing(self, venue: ListingAdapter) -> float:
        """Compare the symbols with the venue's list; return the time until the next check, in seconds."""
        try:
            self._compare(await fetch_listing(venue, self._base_url, self._client, self._rate))
        except ListingError as error:
            self._outage.note_failure(error)
            return self._backoff.next_s()
        self._outage.note_success()
        self._backoff.reset()
        return CHECK_S

    def _compare(self, listed: Mapping[str, ListedSymbol]) -> None:
        for feed in self._feeds:
            for symbol, problem in find_problems(feed.symbols, listed).items():
                for state in ("unknown", "halted"):
                    feed.note_listing(symbol, state, problem[1] if problem and problem[0] == state else "")

    def _check_silence(self) -> None:
        now_s = self._clock_s()
        for number, feed in enumerate(self._feeds):
            for symbol in feed.symbols:
                trade = feed.last_trade(symbol)
                last_trade, seen_s = self._last_seen.get((number, symbol), (None, None))
                if seen_s is None or last_trade is not trade:
                    self._last_seen[number, symbol] = trade, now_s
                    feed.note_listing(symbol, "silent", "")
                elif now_s - seen_s >= self._silent_s:
                    hours = self._silent_s / 3600
                    feed.note_listing(symbol, "silent", f"no trade for {hours:.0f} hours or more")
