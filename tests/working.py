"""Workers running in the test's own process, and trades for them."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import stored
from conftest import PARTITIONS

from db.bot.states import BotStates
from ingest.publisher import Publisher
from ingest.venues.binance import BinanceAdapter
from tickplant import wire
from tickplant.cli.roles import role_settings
from tickplant.market import Trade
from tickplant.notifications import NotificationSettings
from tickplant.redis_client import open_redis
from tickplant.settings import Settings
from tickplant.streams import live_stream, partition_of
from tickplant.webhooks import WebhookSettings
from workers import service
from workers.loading import RoleSettings
from workers.partition_state import PartitionState
from workers.roles.averages import PartitionAverages
from workers.roles.bot import PartitionBots
from workers.roles.partition import PartitionRoles, StoredAlerts
from workers.roles.signals import PartitionSignals

MINUTE_US = 60_000_000
ALL_ROLES = role_settings(Settings())
NO_WEBHOOKS = WebhookSettings(secret=None)
START_US = 1_700_000_040_000_000  # the start of a minute
LOOKS_APART = 4
"""How many times as long as a look at a condition tests wait before the next one."""


def make_state() -> PartitionState:
    """Return the state of a partition with all roles and nothing stored."""
    assert ALL_ROLES.averages is not None
    assert ALL_ROLES.bot is not None
    roles = PartitionRoles(
        0,
        averages=PartitionAverages(ALL_ROLES.averages, {}),
        signals=PartitionSignals(0, ALL_ROLES.strategies, {}),
        alerts=StoredAlerts({}, {}),
        bots=PartitionBots(0, ALL_ROLES.bot, BotStates({}, None)),
        gap_wait_ms=ALL_ROLES.gap_wait_ms,
    )
    return PartitionState(0, 1, [], [], roles)


@asynccontextmanager
async def working(
    redis_url: str,
    database_url: str,
    *,
    lease_s: float = 1.0,
    stream_keep_s: float = 60.0,
    roles: RoleSettings = ALL_ROLES,
    webhooks: WebhookSettings = NO_WEBHOOKS,
    notifications: NotificationSettings = NotificationSettings(),  # noqa: B008 - it can't change
) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    task = asyncio.create_task(
        service.run(
            redis_url=redis_url,
            database_url=database_url,
            partitions=PARTITIONS,
            commit_interval_ms=50,
            commit_trades=5_000,
            lease_s=lease_s,
            stream_keep_s=stream_keep_s,
            roles=roles,
            webhooks=webhooks,
            notifications=notifications,
            stop=stop,
        )
    )
    try:
        yield stop
    finally:
        stop.set()
        await task


async def until(condition: Callable[[], Awaitable[object]], what: str, timeout_s: float = 60) -> None:
    """Wait for a condition, checking it for a fifth of the time at most: a check may cost a connection."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout_s
    while True:
        looked_s = clock()
        if await condition():
            return
        now = clock()
        assert now < deadline, f"not in time: {what}"
        await asyncio.sleep(max(0.02, min(LOOKS_APART * (now - looked_s), 0.3)))


async def stored_count(url: str) -> int:
    return int(await stored.fetch_value(url, "select count(*) from trades"))


def trade(
    trade_id: int, *, at_us: int, price: str = "10.5", size: str = "1", symbol: str = "AAAUSDT"
) -> Trade:
    return Trade("binance", symbol, trade_id, price, size, "buy", at_us, at_us)


def payload(trade: Trade) -> dict[str, Any]:
    """Return a trade as Binance's frames have it, which is what `offline` takes."""
    return {
        "s": trade.symbol,
        "t": trade.trade_id,
        "p": trade.price,
        "q": trade.size,
        "T": trade.event_time_us // 1000,
        "m": trade.side == "sell",
    }


@asynccontextmanager
async def publishing(redis_url: str) -> AsyncIterator[Publisher]:
    redis = open_redis(redis_url)
    try:
        yield Publisher(redis, partitions=PARTITIONS, budget_trades=10**9)
    finally:
        await redis.aclose()


def parse_binance(frames: Iterable[bytes], ingest_time_us: int) -> list[Trade]:
    """Return the trades in recorded frames."""
    parsed = [BinanceAdapter.parse_frame(frame, ingest_time_us) for frame in frames]
    return [trade for trades in parsed if isinstance(trades, tuple) for trade in trades]


async def publish_in_batches(publisher: Publisher, trades: list[Trade], seed: int) -> None:
    rng = random.Random(seed)
    start = 0
    while start < len(trades):
        size = rng.choice([1, 7, 100, 1500])
        await publisher.publish(trades[start : start + size])
        start += size


async def read_live(redis_url: str, symbol: str) -> list[wire.LiveUpdate]:
    redis: Any = open_redis(redis_url)
    entries = await redis.xrange(live_stream(partition_of("binance", symbol, PARTITIONS)))
    await redis.aclose()
    return [wire.decode_update(fields[wire.UPDATE]) for _, fields in entries]
