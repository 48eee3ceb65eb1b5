"""`tickplant doctor`: checks venues by opening, and closing, the connections that ingest would open."""

import time
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

import httpx

from ingest.listing import ListingError, fetch_listing, find_problems
from ingest.service import VenueAddress, check_symbol_count
from ingest.venue_http import open_venue_http
from ingest.venues import make_adapter
from ingest.venues.base import VenueAdapter
from ingest.venues.base_rest import HistoryAdapter, ListingAdapter
from tickplant.cli.finding import Finding, judge_clock
from tickplant.cli.venue_reach import unreachable
from tickplant.cli.venues import venue_addresses
from tickplant.clock import least_skew_s
from tickplant.errors import FatalError, SettingsError
from tickplant.network_errors import system_reason
from tickplant.provenance import SOURCE_DESCRIPTIONS
from tickplant.proxies import Proxies, Proxy
from tickplant.settings import Settings, variable

_SKEW_S: Final = 5.0
_TIMEOUT_S: Final = 5.0
_LIST_TIMEOUT_S: Final = 20.0


class RequestedVenue(NamedTuple):
    """A venue of the settings, with what ingest would ask it for."""

    venue: VenueAdapter
    symbols: list[str]
    """As the venue writes them."""
    address: VenueAddress


def prepare_venues(settings: Settings) -> tuple[list[RequestedVenue], list[Finding]]:
    """Make the adapters as ingest would; what is wrong with the others are findings."""
    asked, findings = [], []
    addresses = venue_addresses(settings)
    for name in dict.fromkeys(venue for venue, _ in settings.symbols):
        address = addresses.get(name, VenueAddress())
        try:
            venue = make_adapter(name, api_key=address.api_key, limits=address.limits)
            symbols = [
                venue.normalize_symbol(symbol) for its_venue, symbol in settings.symbols if its_venue == name
            ]
            check_symbol_count(venue, symbols)
            asked.append(RequestedVenue(venue, symbols, address))
        except FatalError as error:
            remedy = f"correct {variable('symbols')}, or set what the venue needs"
            findings.append(Finding("fail", "settings", str(error), remedy))
    return asked, findings


async def check_venues(settings: Settings, source: str | None = None) -> list[Finding]:
    """Report for each venue whether ingest can reach it, and through which proxy.

    Args:
        settings: with the venues.
        source: that of the trades that the plant receives; None if it is unknown.
    """
    findings: list[Finding] = []
    for asked in prepare_venues(settings)[0]:
        try:
            findings += await _check_venue(asked, source)
        except SettingsError as error:
            findings += [Finding("fail", "venue", problem) for problem in error.problems]
    return findings


async def _check_venue(asked: RequestedVenue, source: str | None) -> list[Finding]:
    venue, proxies = asked.venue, Proxies()
    base_url = asked.address.ws_url or venue.ws_url
    proxy = proxies.of(base_url)
    url = venue.stream_url(base_url, asked.symbols[: venue.limits.symbols_per_connection])
    only_one = venue.limits.connections == 1  # which is ingest's: it is not taken, and so the key not shown
    reason = await unreachable(base_url if only_one else url, proxy, any_answer=only_one)
    if reason is not None:
        text = f"{base_url} can't be reached: {reason}"
        if source in ("replay", "synthetic") and base_url == venue.ws_url:  # not at a sandbox's address
            text += f"; it is not needed: this plant receives {SOURCE_DESCRIPTIONS[source]}"
            return [Finding("ok", "venue", text)]
        wanted = f"check the network, the proxy and {variable(venue.name + '_ws_url')}"
        return [Finding("fail", "venue", text, f"{wanted}; `tickplant up --demo` needs no venue")]
    findings = [Finding("ok", "venue", f"{base_url} answers{_through(proxy)}")]
    if isinstance(venue, HistoryAdapter):
        rest_url = asked.address.rest_url or venue.rest_url
        findings.append(await _check_history(venue.name, rest_url, proxies))
        if isinstance(venue, ListingAdapter) and findings[-1].level == "ok":
            findings += await _check_symbols(venue, asked, rest_url)
    return findings


async def _check_symbols(venue: ListingAdapter, asked: RequestedVenue, url: str) -> list[Finding]:
    """Compare the symbols with the venue's list."""
    try:
        async with open_venue_http([url], Proxies(), timeout_s=_LIST_TIMEOUT_S) as client:
            listed = await fetch_listing(venue, url, client)
    except ListingError as error:
        text = f"the symbols of {asked.venue.name} can't be checked: {error}"
        return [Finding("warn", "venue", text, "try again later")]
    problems = {
        symbol: problem
        for symbol, problem in find_problems(asked.symbols, listed).items()
        if problem is not None
    }
    if not problems:
        return [Finding("ok", "venue", f"{asked.venue.name} lists all {len(asked.symbols)} symbols")]
    return [
        Finding(
            "fail" if state == "unknown" else "warn",
            "venue",
            f"{asked.venue.name}:{symbol}: {reason}",
            f"correct {variable('symbols')}; `tickplant symbols {asked.venue.name}` lists what there is",
        )
        for symbol, (state, reason) in problems.items()
    ]


def _through(proxy: Proxy | None) -> str:
    return f" through the proxy {proxy}" if proxy else ""


async def _check_history(name: str, url: str, proxies: Proxies) -> Finding:
    """Ask for anything at all: whatever the answer is, it has a date."""
    try:
        async with open_venue_http([url], proxies, timeout_s=_TIMEOUT_S) as client:
            before_s = time.time()
            answer = await client.get(url)
    except httpx.HTTPError as error:
        text = f"{url} can't be reached: {system_reason(error) or error or type(error).__name__}"
        remedy = f"check {variable(name + '_rest_url')}; without it nothing that is missed can be fetched"
        return Finding("warn", "venue", text, remedy)
    try:
        theirs_s = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return Finding("ok", "venue", f"{url} answers{_through(proxies.of(url))}")
    skew_s = least_skew_s(theirs_s, theirs_s + 1, before_s, time.time())  # the header has whole seconds
    return judge_clock("venue", skew_s, _SKEW_S)
