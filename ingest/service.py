"""The ingest service: runs feeds for all symbols of all venues."""

import asyncio
import logging
import os
import socket
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import httpx

from ingest.buffer import FrameBuffer
from ingest.connection_lock import ConnectionLock
from ingest.feed import Feed
from ingest.feed_context import FeedContext
from ingest.history.backfill import Backfill
from ingest.history.client import make_history, open_history_client
from ingest.listing import ListingCheck
from ingest.publisher import Publisher
from ingest.rate_limits import connect_limit, message_limit, request_limit
from ingest.shards import symbols_of_shard
from ingest.stale_connections import remove_stale_connections
from ingest.stream_metrics import measure_streams
from ingest.supervision import keep_running
from ingest.venues import make_adapter
from ingest.venues.base import VenueAdapter, VenueLimits
from ingest.venues.base_rest import HistoryAdapter, ListingAdapter
from tickplant.errors import FatalError
from tickplant.market import SymbolId
from tickplant.probes import ServiceReadiness
from tickplant.proxies import Proxies
from tickplant.redis_client import RedisClient, open_redis
from tickplant.service import run_unless_stopped
from tickplant.sharing import Shard

_log = logging.getLogger(__name__)


class VenueAddress(NamedTuple):
    """A venue's configured addresses, API key and limits; None for the adapter's defaults."""

    ws_url: str | None = None
    rest_url: str | None = None
    api_key: str | None = None
    limits: VenueLimits | None = None


async def run(
    *,
    redis_url: str,
    wait_replicas: int = 0,
    symbols: Sequence[SymbolId],
    addresses: Mapping[str, VenueAddress],
    partitions: int,
    stream_budget_trades: int,
    proxies: Proxies | None = None,
    shard: Shard | None = None,
    readiness: ServiceReadiness | None = None,
    stop: asyncio.Event,
    buffer_mb: int = 256,
) -> None:
    """Receive trades and write them to the partition streams until `stop` is set.

    Args:
        redis_url: of the streams.
        wait_replicas: how many replicas of Redis must have trades before they count as published.
        symbols: to receive.
        addresses: by venue; a venue that is not in it has its default addresses.
        partitions: number of partition streams.
        stream_budget_trades: the most uncommitted trades in a stream before sockets are paused.
        proxies: to the venues; None for direct connections.
        shard: which of the symbols to receive; None: all.
        readiness: is told when the service can do its work.
        stop: ends the service.
        buffer_mb: megabytes of frames that may wait, while Redis is unavailable, before sockets are paused.

    Raises:
        FatalError: a symbol's venue is unknown, or needs a key, or its proxy can't be used.
    """
    proxies = proxies or Proxies({})
    venues = select_venues(symbols, addresses, shard)
    redis = open_redis(redis_url, wait_replicas=wait_replicas)
    publisher = Publisher(redis, partitions=partitions, budget_trades=stream_budget_trades)
    buffer = FrameBuffer(buffer_mb << 20, lambda: publisher.unanswered_s)
    try:
        if not await run_unless_stopped(publisher.agree_on_partitions(), stop):
            return
        if readiness is not None:
            readiness.note("ingest", None)
        rest_urls = [venue.rest_url for venue in venues]
        async with open_history_client(publisher, rest_urls, proxies) as client, asyncio.TaskGroup() as tasks:
            resources = _Resources(redis, client, publisher, buffer, proxies)
            for work in _housekeeping(redis, partitions, stop):
                tasks.create_task(work)
            for venue in venues:
                for work in _venue_work(venue, resources, stop):
                    tasks.create_task(work)
    finally:
        await redis.aclose()


class ConfiguredVenue(NamedTuple):
    """A venue with the symbols to receive."""

    adapter: VenueAdapter
    symbols: list[str]
    """In the venue's notation."""
    ws_url: str
    rest_url: str


class _Resources(NamedTuple):
    """What the tasks of all venues share."""

    redis: RedisClient
    client: httpx.AsyncClient
    publisher: Publisher
    buffer: FrameBuffer
    proxies: Proxies


def select_venues(
    symbols: Sequence[SymbolId], addresses: Mapping[str, VenueAddress], shard: Shard | None = None
) -> list[ConfiguredVenue]:
    """Return the venues of the symbols, of those of the shard if there is one.

    Raises:
        FatalError: a venue is unknown, needs a key, or allows fewer symbols.
    """
    adapters = _make_adapters(dict.fromkeys(symbol.venue for symbol in symbols), addresses)
    written = [SymbolId(name, adapters[name].normalize_symbol(symbol)) for name, symbol in symbols]
    if shard is not None:
        written = symbols_of_shard(written, adapters, shard)
        _log.info("shard %s receives %d of %d symbols", shard, len(written), len(symbols))
    by_venue: defaultdict[str, list[str]] = defaultdict(list)
    for name, symbol in written:
        by_venue[name].append(symbol)
    venues = []
    for name, normalized in by_venue.items():
        adapter, address = adapters[name], addresses.get(name, VenueAddress())
        check_symbol_count(adapter, normalized)
        ws_url, rest_url = address.ws_url or adapter.ws_url, address.rest_url or adapter.rest_url
        venues.append(ConfiguredVenue(adapter, normalized, ws_url, rest_url))
    return venues


def _housekeeping(
    redis: RedisClient, partitions: int, stop: asyncio.Event
) -> Iterator[Coroutine[Any, Any, None]]:
    """Yield the tasks that belong to no venue."""
    measure = partial(measure_streams, redis, partitions, stop)
    yield keep_running("stream metrics", measure, stop, venue="", task="streams")
    remove = partial(remove_stale_connections, redis, stop)
    yield keep_running("removal of stale connections", remove, stop, venue="", task="gone")


def _venue_work(
    venue: ConfiguredVenue, resources: _Resources, stop: asyncio.Event
) -> Iterator[Coroutine[Any, Any, None]]:
    """Yield a venue's tasks: backfill, feeds, and the check of symbols."""
    adapter = venue.adapter
    backfill = _make_backfill(venue, resources)
    if backfill is not None:
        yield _keep_running(backfill, stop, venue=adapter.name, task="history")
    feeds = _make_feeds(venue, resources, backfill)
    for feed in feeds:
        yield _keep_running(feed, stop, venue=adapter.name, task="feed")
    listing = ListingCheck(
        name=adapter.name,
        venue=adapter if isinstance(adapter, ListingAdapter) else None,
        base_url=venue.rest_url,
        client=resources.client,
        rate=request_limit(resources.redis, adapter),
        feeds=feeds,
    )
    yield _keep_running(listing, stop, venue=adapter.name, task="symbols")


def _keep_running(
    part: Feed | Backfill | ListingCheck, stop: asyncio.Event, *, venue: str, task: str
) -> Coroutine[Any, Any, None]:
    """Run one part of the service; restart it when it fails."""
    run = partial(part.run, stop)
    return keep_running(part.name, run, stop, venue=venue, task=task, report=part.report_down)


def _make_adapters(names: Iterable[str], addresses: Mapping[str, VenueAddress]) -> dict[str, VenueAdapter]:
    """Return the adapters of venues, by name.

    Raises:
        FatalError: venues are unknown or need a key; the error names all of them.
    """
    adapters: dict[str, VenueAdapter] = {}
    problems: list[str] = []
    for name in names:
        address = addresses.get(name, VenueAddress())
        try:
            adapters[name] = make_adapter(name, api_key=address.api_key, limits=address.limits)
        except FatalError as error:
            problems.append(str(error))
    if problems:
        raise FatalError("; ".join(problems))
    return adapters


def check_symbol_count(venue: VenueAdapter, symbols: Sequence[str]) -> None:
    """Check that the venue's limits allow this number of symbols.

    Raises:
        FatalError: there are too many.
    """
    limits = venue.limits
    if limits.connections is None:
        return
    most = limits.connections * limits.symbols_per_connection
    if len(symbols) > most:
        raise FatalError(f"{venue.name} allows {most} symbols at once; {len(symbols)} are to be received")


def _make_backfill(venue: ConfiguredVenue, resources: _Resources) -> Backfill | None:
    """Return a venue's backfill; None for a venue without history."""
    adapter = venue.adapter
    if not isinstance(adapter, HistoryAdapter):
        return None
    history = make_history(
        adapter,
        rest_url=venue.rest_url,
        redis=resources.redis,
        client=resources.client,
        publisher=resources.publisher,
    )
    return Backfill(
        name=f"{adapter.name}/{_process_name()}/history",
        venue=adapter,
        symbols=venue.symbols,
        history=history,
        publisher=resources.publisher,
    )


def _make_feeds(venue: ConfiguredVenue, resources: _Resources, backfill: Backfill | None) -> list[Feed]:
    """Return a venue's feeds, one for each connection."""
    adapter, redis = venue.adapter, resources.redis
    context = FeedContext(
        venue=adapter,
        base_url=venue.ws_url,
        proxy=resources.proxies.of(venue.ws_url),
        publisher=resources.publisher,
        buffer=resources.buffer,
        connects=connect_limit(redis, adapter),
        messages=message_limit(redis, adapter),
        subscribing=asyncio.Lock(),
        connection_lock=ConnectionLock(redis, adapter.name) if adapter.limits.connections == 1 else None,
        backfill=backfill,
    )
    return make_feeds(f"{adapter.name}/{_process_name()}", venue.symbols, context)


def make_feeds(name: str, symbols: Sequence[str], context: FeedContext) -> list[Feed]:
    """Return feeds for a venue's symbols, each with as many as the venue allows on one connection."""
    size = context.venue.limits.symbols_per_connection
    return [
        Feed(f"{name}/{start // size}", symbols[start : start + size], context)
        for start in range(0, len(symbols), size)
    ]


def _process_name() -> str:
    """Return a name that is unique to this process on this Redis."""
    return f"{socket.gethostname()}:{os.getpid()}"
