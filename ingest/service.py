"""The ingest service: feeds for all symbols of all venues, until told to stop."""

import asyncio
import os
import socket
from collections.abc import Sequence

from ingest.feed import Feed
from ingest.publisher import Publisher, symbols_by_venue
from ingest.venues import binance
from tickplant.errors import FatalError
from tickplant.market import SymbolId
from tickplant.redis_client import open_redis


async def run(
    *,
    redis_url: str,
    symbols: Sequence[SymbolId],
    binance_ws_url: str,
    binance_rest_url: str,
    partitions: int,
    stream_budget_trades: int,
    stop: asyncio.Event,
) -> None:
    """Receive the symbols' trades and write them to the partition streams until `stop` is set.

    Raises:
        FatalError: a symbol's venue is unknown.
    """
    grouped = symbols_by_venue(symbols)
    unknown = grouped.keys() - {binance.NAME}
    if unknown:
        raise FatalError(
            f"unknown venue in TICKPLANT_SYMBOLS: {', '.join(sorted(unknown))}; known: {binance.NAME}"
        )
    redis = open_redis(redis_url)
    publisher = Publisher(redis, partitions=partitions, budget_trades=stream_budget_trades)
    try:
        await publisher.agree_on_partitions()
        async with asyncio.TaskGroup() as tasks:
            for feed in _feeds(grouped[binance.NAME], binance_ws_url, publisher):
                tasks.create_task(feed.run(stop))
    finally:
        await redis.aclose()


def _feeds(symbols: list[str], url: str, publisher: Publisher) -> list[Feed]:
    size = binance.MAX_SYMBOLS_PER_CONNECTION
    process = f"{socket.gethostname()}:{os.getpid()}"
    feeds = []
    for start in range(0, len(symbols), size):
        part = [symbol.upper() for symbol in symbols[start : start + size]]
        feeds.append(
            Feed(
                name=f"{binance.NAME}/{process}/{start // size}",
                venue=binance.NAME,
                symbols=part,
                url=binance.stream_url(url, part),
                parse=binance.parse_trades,
                publisher=publisher,
            )
        )
    return feeds
