"""Values of other programs in tickplant's keys are ignored, counted and logged once; they end nothing."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import stored
from api_plant import BTC, running_plant, update
from api_plant import trade as plant_trade
from conftest import PARTITIONS, on_one_variant
from working import START_US, publishing, stored_count, trade, until, working

from api.access.caller import ApiCaller
from api.access.rate_limits import RequestLimit, RequestLimiter
from api.queries.connections import Connections
from db.leases import Lease
from ingest.stream_budget import StreamBudget
from tickplant import metrics
from tickplant.cli.redis_check import check_redis
from tickplant.clock import now_us
from tickplant.errors import FatalError
from tickplant.redis_agreement import agree_on_partitions, claim_redis_source, read_redis_source
from tickplant.redis_client import open_redis
from tickplant.settings import Settings
from tickplant.streams import (
    CANDLES_ROLE,
    CONNECTIONS,
    MIRROR_TRADES,
    SOURCE,
    live_stream,
    owner_key,
    partition_of,
    trades_stream,
)
from tickplant.streams import (
    PARTITIONS as PARTITIONS_KEY,
)
from tickplant.wire import ConnectionStatus
from workers.partition_streams import PartitionStreams, PublishedPosition
from workers.trimming import Trimmer

OWNER = owner_key(CANDLES_ROLE, 0)
MIRROR = owner_key(MIRROR_TRADES, 0)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


def ignored(key: str) -> float:
    return float(metrics.REDIS_INVALID_VALUES.labels(key)._value.get())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno == logging.WARNING]


async def take(redis: Any, epoch: int = 1) -> PublishedPosition:
    return await PartitionStreams(redis, Lease(CANDLES_ROLE, 0, "me", epoch, "5-0")).take()


@pytest.mark.parametrize("odd", [b"\xff\x00", b"soon", b"7", b"", b"9" * 30 + b"-0", b"-1-0"])
async def test_positions_that_are_no_entries_are_unknown(
    redis: Any, odd: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    before = ignored("owner")
    await redis.hset(OWNER, mapping={"published": odd, "told": odd, "committed": odd})
    assert await take(redis) == ("0-0", "0-0", "0-0")
    assert [fields for _, fields in await redis.xrange(live_stream(0))] == [{b"b": b"5-0"}]
    assert await take(redis, 2) == ("5-0", "0-0", "0-0")
    assert ignored("owner") == before + 3
    assert len(warnings(caplog)) == 3


async def test_a_position_after_the_last_entry_hides_no_later_trades(redis: Any) -> None:
    await redis.xadd(trades_stream(0), {"t": "x"}, id="9-0")
    await redis.hset(OWNER, "published", "99999999999999-0")
    assert (await take(redis)).published == "0-0"
    assert await redis.xlen(live_stream(0)) == 1
    await redis.hset(OWNER, "published", "9-0")
    assert (await take(redis, 2)).published == "9-0"
    assert await redis.xlen(live_stream(0)) == 1


@pytest.mark.parametrize("odd", [b"many", b"\xff", b"-4", b"nan", b"1e400", b"9" * 30])
async def test_an_odd_number_of_held_entries_counts_as_none(redis: Any, odd: bytes) -> None:
    async def once(attempt: Any) -> Any:
        return await attempt()

    await redis.hset(MIRROR, "held_entries", odd)
    await redis.xadd(trades_stream(0), {"t": "x"}, id="9-0")
    streams = PartitionStreams(redis, Lease(CANDLES_ROLE, 0, "me", 1, "5-0"))
    assert await streams._max_lag() == 1
    budget = StreamBudget(redis, partitions=1, budget_trades=10, retry_until_available=once)
    assert await budget._read_lengths([0]) == [1]


@pytest.mark.parametrize(
    "fields",
    [
        {"confirmed": "soon"},
        {"confirmed": "9-0"},
        {"confirmed": "2-0", "budget_bytes": "x", "held_bytes": "nan"},
    ],
)
async def test_trimming_survives_odd_values_of_the_mirror(redis: Any, fields: dict[str, str]) -> None:
    for number in range(1, 8):
        await redis.xadd(trades_stream(0), {"t": "x"}, id=f"{number}-0")
    await redis.hset(MIRROR, mapping=fields | {"held_entries": "inf"})
    await redis.hset(OWNER, "epoch", 1)
    trimmer = Trimmer(redis, Lease(CANDLES_ROLE, 0, "me", 1, "5-0"))
    for _ in range(2):
        await trimmer.trim("5-0", "5-0")
    assert await redis.xrange(trades_stream(0), "5-0")  # what is not committed is never trimmed


async def test_entries_are_kept_for_a_mirror_whose_position_is_odd(
    redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1, 8):
        await redis.xadd(trades_stream(0), {"t": "x"}, id=f"{number}-0")
    await redis.hset(MIRROR, mapping={"confirmed": "soon", "budget_bytes": "1000000"})
    await redis.hset(OWNER, "epoch", 1)
    trimmer = Trimmer(redis, Lease(CANDLES_ROLE, 0, "me", 1, "5-0"))
    for _ in range(3):
        await trimmer.trim("5-0", "5-0")
    assert await redis.xlen(trades_stream(0)) == 7
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("odd", [b"many", b"\xff", b"", b"0", b"-3", b"9" * 5000])
async def test_an_odd_number_of_partitions_is_replaced(
    redis: Any, redis_url: str, odd: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.set(PARTITIONS_KEY, odd)
    found = await check_redis(Settings(redis_url=redis_url))
    assert [finding.level for finding in found if "holds what another program" in finding.text] == ["warn"]
    await agree_on_partitions(redis, 8)
    await agree_on_partitions(redis, 8)
    assert await redis.get(PARTITIONS_KEY) == b"8"
    assert len(warnings(caplog)) <= 1
    with pytest.raises(FatalError):
        await agree_on_partitions(redis, 4)


@pytest.mark.parametrize("odd", [b"elsewhere", b"\xff", b""])
async def test_an_odd_source_is_unknown_until_it_is_replaced(redis: Any, odd: bytes) -> None:
    await redis.set(SOURCE, odd)
    assert await read_redis_source(redis) is None
    await claim_redis_source(redis, "replay")
    assert await read_redis_source(redis) == "replay"
    with pytest.raises(FatalError):
        await claim_redis_source(redis, "live")


async def test_keys_of_another_type_are_left_alone(redis: Any, redis_url: str) -> None:
    for key in (PARTITIONS_KEY, SOURCE):
        await redis.rpush(key, "taken")
    await redis.set(CONNECTIONS, "taken")
    await agree_on_partitions(redis, 8)
    await claim_redis_source(redis, "live")
    assert await read_redis_source(redis) is None
    assert await Connections(redis).read() == []
    async with publishing(redis_url) as publisher:
        await publisher.report(ConnectionStatus("c", "binance", (), "live", 1, "", reported_at_us=now_us()))
        await publisher.remove_status("c")
    assert [await redis.type(key) for key in (PARTITIONS_KEY, SOURCE, CONNECTIONS)] == [
        *(b"list", b"list", b"string")
    ]


@pytest.mark.parametrize("odd", ["list", "soon", "inf", "nan", "9" * 30])
async def test_odd_counts_of_requests_refuse_nobody(
    redis: Any, odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = "api_rate:address:192.0.2.1"
    await (redis.rpush(key, "taken") if odd == "list" else redis.set(key, odd))
    limiter = RequestLimiter(redis, RequestLimit(2, 60))
    answers = [await limiter.admit(ApiCaller(None, frozenset()), "192.0.2.1") for _ in range(2)]
    assert [answer["RateLimit"].split(";")[1] for answer in answers] == ["r=1", "r=0"]
    with pytest.raises(Exception, match="more than 2 requests"):
        await limiter.admit(ApiCaller(None, frozenset()), "192.0.2.1")
    assert len(warnings(caplog)) == (odd == "list")


@on_one_variant
@pytest.mark.parametrize("odd", [b"\xff", b"soon", b"99999999999999-0", b"9" * 40 + b"-0"])
async def test_prices_and_signals_are_read_beside_odd_positions(
    redis_url: str, database_url: str, redis: Any, odd: bytes
) -> None:
    async with running_plant(redis_url, database_url, symbols=[BTC]) as plant:
        await plant.store(plant_trade(1))
        await plant.publish(update(plant_trade(1)))
        await plant.caught_up()
        partition = partition_of(*BTC, PARTITIONS)
        await redis.hset(owner_key(CANDLES_ROLE, partition), mapping={"live": odd, "told": odd})
        prices = plant.services.prices
        last = (await redis.xrevrange(live_stream(partition), count=1))[0][0].decode()
        _, order = await prices.read(BTC)
        assert "{}-{}".format(*order) == last
        committed, _ = await plant.services.hub._streams.published(partition)
        assert committed is None or odd == b"99999999999999-0"


@on_one_variant
@pytest.mark.parametrize("epoch", ["first", "999999999999999", "1e300", "-1", ""])
async def test_workers_store_trades_beside_odd_values(
    epoch: str, redis: Any, redis_url: str, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    for partition in range(PARTITIONS):
        fields = {"published": "soon", "told": b"\xff", "epoch": epoch}
        await redis.hset(owner_key(CANDLES_ROLE, partition), mapping=fields)
        mirror = {"confirmed": "soon", "held_entries": "many"}
        await redis.hset(owner_key(MIRROR_TRADES, partition), mapping=mirror)
    await redis.rpush(SOURCE, "taken")
    await redis.set(PARTITIONS_KEY, "several")
    async with working(redis_url, database_url), publishing(redis_url) as publisher:
        await publisher.publish([trade(1, at_us=START_US)])

        async def all_stored() -> bool:
            return await stored_count(database_url) == 1

        await until(all_stored, "the trade is stored")
        taken = await stored.fetch_value(database_url, "select max(epoch) from lease")
    assert taken == 1
