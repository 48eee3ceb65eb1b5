"""A venue's limits, which the sandbox enforces by banning; and one connection where only one is allowed."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from conftest import PARTITIONS, on_one_variant
from processes import Processes, sandbox_status
from working import stored_count, until, working

from ingest import service
from ingest.history.retry_after import LONGEST_S
from ingest.listing import ListingError, fetch_listing
from ingest.rate_limits import RateLimit
from ingest.venues import make_adapter
from ingest.venues.base_rest import ListingAdapter
from tickplant import wire
from tickplant.market import SymbolId
from tickplant.redis_client import open_redis
from tickplant.streams import CONNECTIONS

SYMBOLS = [f"AA{chr(65 + i // 26)}{chr(65 + i % 26)}-USD" for i in range(100)]


@asynccontextmanager
async def ingesting(
    redis_url: str, symbols: Sequence[SymbolId], addresses: Mapping[str, service.VenueAddress]
) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(
        service.run(
            redis_url=redis_url,
            symbols=symbols,
            addresses=addresses,
            partitions=PARTITIONS,
            stream_budget_trades=10**9,
            stop=stop,
        )
    )
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


async def connection_states(redis: Any) -> list[str]:
    return [wire.decode_connection(value).state for value in (await redis.hgetall(CONNECTIONS)).values()]


async def test_a_hundred_symbols_come_up_within_narrow_limits(redis_url: str, tmp_path: Path) -> None:
    limits = msgspec.structs.replace(
        make_adapter("coinbase").limits,
        symbols_per_connection=10,
        messages_per_s=10,
        connects=20,
        connects_window_s=10,
    )
    redis = open_redis(redis_url)
    async with Processes({}, tmp_path) as processes:
        ready = await processes.start_sandbox(
            "--symbols",
            *(f"coinbase:{symbol}" for symbol in SYMBOLS),
            "--limits",
            "coinbase:streams_per_connection=20,messages_per_s=10,connects=20,connects_window_s=10,ban_s=60",
        )
        venue = ready["venues"]["coinbase"]
        address = service.VenueAddress(venue["ws_url"], venue["rest_url"], limits=limits)
        symbols = [SymbolId("coinbase", symbol) for symbol in SYMBOLS]
        async with ingesting(redis_url, symbols, {"coinbase": address}):

            async def all_live() -> bool:
                return await connection_states(redis) == ["live"] * 10

            await until(all_live, "ten live connections", timeout_s=60)
            assert (await sandbox_status(ready["rest_url"]))["bans"] == 0
    await redis.aclose()


async def test_processes_share_one_rate(redis_url: str) -> None:
    redis = open_redis(redis_url)
    rates = [RateLimit(redis, venue="v", what="w", per_s=50, burst=5, bannable=True) for _ in range(2)]
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    await asyncio.gather(*(rate.take() for rate in rates for _ in range(15)))
    assert loop.time() - started_s >= (30 - 5) / 50 - 0.01
    await rates[0].ban(0.3)
    await rates[1].take()
    assert loop.time() - started_s >= 0.3
    await redis.aclose()


async def test_a_ban_of_history_stops_no_connecting(redis_url: str) -> None:
    redis = open_redis(redis_url)
    connects = RateLimit(redis, venue="v", what="connects", per_s=50)
    requests = RateLimit(redis, venue="v", what="requests", per_s=50, bannable=True)
    await requests.ban(60)
    await asyncio.wait_for(connects.take(), 5)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(requests.take(), 0.2)
    await redis.aclose()


@pytest.mark.parametrize("asked_s", [60.0, 600.0, 57 * 365 * 86_400.0, 1e300, math.inf])
async def test_a_ban_is_never_longer_than_the_longest(redis_url: str, asked_s: float) -> None:
    redis = open_redis(redis_url)
    rate = RateLimit(redis, venue="v", what="requests", per_s=50, bannable=True)
    await rate.ban(asked_s)
    await rate.ban(1)
    assert min(asked_s, LONGEST_S) - 5 < await redis.ttl("ban:v") <= min(asked_s, LONGEST_S)
    await redis.aclose()


async def test_a_list_of_symbols_is_asked_for_within_the_venues_limits(redis_url: str) -> None:
    redis = open_redis(redis_url)
    venue = make_adapter("binance")
    assert isinstance(venue, ListingAdapter)
    rate = RateLimit(redis, venue="binance", what="requests", per_s=50, bannable=True)
    refusing = httpx.MockTransport(lambda _: httpx.Response(429, headers={"Retry-After": "120"}))
    async with httpx.AsyncClient(transport=refusing) as client:
        with pytest.raises(ListingError, match="status 429"):
            await fetch_listing(venue, "http://venue", client, rate)
        assert 115 < await redis.ttl("ban:binance") <= 120
        waiting = asyncio.create_task(fetch_listing(venue, "http://venue", client, rate))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done  # it waits for the end of the ban
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await redis.aclose()


@pytest.mark.parametrize("ttl_s", [None, 57 * 365 * 86_400])
async def test_a_ban_that_was_stored_too_long_is_cut(redis_url: str, ttl_s: int | None) -> None:
    redis = open_redis(redis_url)
    await redis.set("ban:v", 1, ex=ttl_s)
    taking = asyncio.create_task(RateLimit(redis, venue="v", what="requests", per_s=50, bannable=True).take())

    async def cut() -> bool:
        return 0 < await redis.ttl("ban:v") <= LONGEST_S

    await until(cut, "the ban is cut")
    taking.cancel()
    await redis.aclose()


async def test_a_clock_of_redis_that_was_set_back_delays_nothing(redis_url: str) -> None:
    redis = open_redis(redis_url)
    ahead_us = (await redis.time())[0] * 1_000_000 + 3_600_000_000
    await redis.set("rate:{ban:v}:connects", f"{ahead_us + 20_000} {ahead_us}")
    await asyncio.wait_for(RateLimit(redis, venue="v", what="connects", per_s=50).take(), 5)
    await redis.aclose()


@on_one_variant
async def test_two_processes_alternate_where_one_connection_is_allowed(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    environment = {
        "TICKPLANT_REDIS_URL": redis_url,
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
    }
    async with Processes(environment, tmp_path) as processes, working(redis_url, database_url):
        ready = await processes.start_sandbox(
            "--symbols", "finnhub:AAPL", "--count", "2000", "--rate", "200", "--speed", "2", "--hold"
        )
        await processes.start("ingest")
        await processes.start("ingest")

        async def all_sent() -> bool:
            return bool((await sandbox_status(ready["rest_url"]))["state"] == "finished")

        await until(all_sent, "the tape is through", timeout_s=60)

        async def all_stored() -> bool:
            return await stored_count(database_url) == 2_000

        await until(all_stored, "every trade once")
