"""The ingest service: runs feeds for all symbols of all venues."""

import asyncio
import os
import socket
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import httpx

from ingest.buffer import FrameBuffer
from ingest.connection_lock import ConnectionLock
from ingest.feed import Feed
from ingest.history.backfill import Backfill
from ingest.history.client import make_history, open_history_client
from ingest.listing import ListingCheck
from ingest.publisher import Publisher
from ingest.rate_limits import connect_limit, message_limit, request_limit
from ingest.stale_connections import remove_stale_connections
from ingest.stream_metrics import measure_streams
from ingest.supervision import keep_running
from ingest.venues import make_adapter
from ingest.venues.base import VenueAdapter, VenueLimits
from ingest.venues.base_rest import HistoryAdapter, ListingAdapter
from tickplant.errors import FatalError
from tickplant.market import SymbolId
from tickplant.proxies import Proxies
from tickplant.redis_client import RedisClient, open_redis
from tickplant.service import unless_stopped


class VenueAddress(NamedTuple):
    """A venue's addresses, limits and API key; None for the adapter's own."""

    ws_url: str | None = None
    rest_url: str | None = None
    api_key: str | None = None
    limits: VenueLimits | None = None


async def run(
    *,
    redis_url: str,
    symbols: Sequence[SymbolId],
    addresses: Mapping[str, VenueAddress],
    partitions: int,
    stream_budget_trades: int,
    proxies: Proxies | None = None,
    stop: asyncio.Event,
    buffer_mb: int = 256,
) -> None:
    """Receive trades and write them to the partition streams until `stop` is set.

    Args:
        redis_url: of the streams.
        symbols: to receive.
        addresses: by venue; venues not in it use their own.
        partitions: number of partition streams.
        stream_budget_trades: the most trades in a stream before sockets are paused.
        proxies: to the venues; None for direct connections.
        stop: ends it.
        buffer_mb: megabytes of frames that may wait, while Redis is unavailable, before sockets are
            paused.

    Raises:
        FatalError: a symbol's venue is unknown, or needs a key, or its proxy can't be used.
    """
    proxies = proxies or Proxies({})
    by_venue: defaultdict[str, list[str]] = defaultdict(list)
    for name, symbol in symbols:
        by_venue[name].append(symbol)
    venues = _make_all(by_venue, addresses)
    for name, venue in venues.items():
        by_venue[name] = [venue.normalize_symbol(symbol) for symbol in by_venue[name]]
        check_symbol_count(venue, by_venue[name])
    redis = open_redis(redis_url)
    publisher = Publisher(redis, partitions=partitions, budget_trades=stream_budget_trades)
    buffer = FrameBuffer(buffer_mb << 20, lambda: publisher.unanswered_s)
    try:
        if not await unless_stopped(publisher.agree_on_partitions(), stop):
            return
        rest_urls = [
            addresses.get(name, VenueAddress()).rest_url or venue.rest_url for name, venue in venues.items()
        ]
        async with open_history_client(publisher, rest_urls, proxies) as client, asyncio.TaskGroup() as tasks:
            watch = partial(measure_streams, redis, partitions, stop)
            tasks.create_task(keep_running("stream metrics", watch, stop, venue="", task="streams"))
            clean = partial(remove_stale_connections, redis, stop)
            tasks.create_task(
                keep_running("removal of stale connections", clean, stop, venue="", task="gone")
            )
            for name, venue in venues.items():
                address = addresses.get(name, VenueAddress())
                backfill = _backfill(venue, by_venue[name], address, redis, client, publisher)
                if backfill is not None:
                    tasks.create_task(_keep(backfill, stop, venue=name, task="history"))
                feeds = _feeds(venue, by_venue[name], address, redis, publisher, buffer, backfill, proxies)
                for feed in feeds:
                    tasks.create_task(_keep(feed, stop, venue=name, task="feed"))
                listing = ListingCheck(
                    name=name,
                    venue=venue if isinstance(venue, ListingAdapter) else None,
                    base_url=address.rest_url or venue.rest_url,
                    client=client,
                    rate=request_limit(redis, venue),
                    feeds=feeds,
                )
                tasks.create_task(_keep(listing, stop, venue=name, task="symbols"))
    finally:
        await redis.aclose()


def _keep(
    part: Feed | Backfill | ListingCheck, stop: asyncio.Event, *, venue: str, task: str
) -> Coroutine[Any, Any, None]:
    """Run one part of the service; restart it when it fails."""
    run = partial(part.run, stop)
    return keep_running(part.name, run, stop, venue=venue, task=task, report=part.report_down)


def _make_all(names: Iterable[str], addresses: Mapping[str, VenueAddress]) -> dict[str, VenueAdapter]:
    """Return the adapters of venues.

    Raises:
        FatalError: some are unknown, or need a key; it names all of them.
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
    if limits.connections and len(symbols) > limits.connections * limits.symbols_per_connection:
        raise FatalError(
            f"{venue.name} allows {limits.connections} connection(s) of {limits.symbols_per_connection}"
            f" symbols; TICKPLANT_SYMBOLS has {len(symbols)} of its symbols"
        )


def _backfill(
    venue: VenueAdapter,
    symbols: Sequence[str],
    address: VenueAddress,
    redis: RedisClient,
    client: httpx.AsyncClient,
    publisher: Publisher,
) -> Backfill | None:
    if not isinstance(venue, HistoryAdapter):
        return None
    history = make_history(venue, rest_url=address.rest_url, redis=redis, client=client, publisher=publisher)
    name = f"{venue.name}/{_process()}/history"
    return Backfill(name=name, venue=venue, symbols=symbols, history=history, publisher=publisher)


def _process() -> str:
    """Return a name that is unique to this process on this Redis."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _feeds(
    venue: VenueAdapter,
    symbols: Sequence[str],
    address: VenueAddress,
    redis: RedisClient,
    publisher: Publisher,
    buffer: FrameBuffer,
    backfill: Backfill | None,
    proxies: Proxies,
) -> list[Feed]:
    limits = venue.limits
    subscribing = asyncio.Lock()
    size = limits.symbols_per_connection
    base_url = address.ws_url or venue.ws_url
    return [
        Feed(
            name=f"{venue.name}/{_process()}/{start // size}",
            venue=venue,
            symbols=symbols[start : start + size],
            base_url=base_url,
            publisher=publisher,
            buffer=buffer,
            connects=connect_limit(redis, venue),
            messages=message_limit(redis, venue),
            subscribing=subscribing,
            connection_lock=ConnectionLock(redis, venue.name) if limits.connections == 1 else None,
            backfill=backfill,
            proxy=proxies.of(base_url),
        )
        for start in range(0, len(symbols), size)
    ]
