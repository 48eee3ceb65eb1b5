"""The mirror over real streams, into librdkafka's mock of Kafka and, where one is named, a real broker."""

import asyncio
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import stored
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from conftest import PARTITIONS, VARIANTS
from kafka import BROKER, Cluster, Mirrored, has_started, mirroring, mock_cluster
from working import MINUTE_US, START_US, publish_in_batches, publishing, stored_count, trade, until, working

from tickplant.background import background
from tickplant.errors import FatalError
from tickplant.market import Trade
from tickplant.redis_client import open_redis
from tickplant.streams import MIRROR_ROLES, owner_key, results_stream, trades_stream
from workers.mirror.forgetting import forget_mirror
from workers.mirror.kafka import KafkaProducer, RecordDelivery
from workers.mirror.records import Record

# The mirror writes nothing to the database but its leases: one kind of it will do.
on_one_database = pytest.mark.parametrize("database_url", VARIANTS[-1:], indirect=True)

SYMBOLS = ("AAAUSDT", "BBBUSDT", "CCCUSDT", "DDDUSDT")


@pytest.fixture(scope="module")
def mock() -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    with mock_cluster() as started:
        yield started


@pytest.fixture(params=["mock", *(["broker"] if BROKER else [])])
def kafka(request: pytest.FixtureRequest, mock: tuple[str, "subprocess.Popen[str]"]) -> Cluster:
    prefix = f"test-{uuid4().hex[:8]}."
    if request.param == "broker":
        assert BROKER is not None
        return Cluster(BROKER, prefix)
    return Cluster(mock[0], prefix, mock[1])


@pytest.fixture
def pausable(mock: tuple[str, "subprocess.Popen[str]"]) -> Cluster:
    return Cluster(mock[0], f"test-{uuid4().hex[:8]}.", mock[1])


def some_trades(first: int, last: int) -> list[Trade]:
    """Trades of four symbols, four a second."""
    return [
        trade(i, at_us=START_US + i * 1_000_000, price=f"{100 + i % 7}.25", symbol=symbol)
        for i in range(first, last + 1)
        for symbol in SYMBOLS
    ]


async def mirrored(kafka: Cluster, topic: str) -> dict[str, list[Mirrored]]:
    """Return what a topic holds by key; all records of a key are in one partition."""
    by_key: defaultdict[str, list[Mirrored]] = defaultdict(list)
    for record in await asyncio.to_thread(kafka.read, topic):
        by_key[record.key].append(record)
    assert all(len({record.partition for record in records}) == 1 for records in by_key.values())
    return by_key


async def all_mirrored(kafka: Cluster, last: int) -> bool:
    """Say whether each symbol's last trade is there."""
    by_key = await mirrored(kafka, "trades")
    return len(by_key) == len(SYMBOLS) and all(
        records[-1].json["trade_id"] == last for records in by_key.values()
    )


def first_seen(records: list[Mirrored]) -> list[int]:
    """Return the trade ids in the order in which each was there first."""
    return list(dict.fromkeys(record.json["trade_id"] for record in records))


@on_one_database
async def test_trades_and_closed_candles_are_mirrored_in_order(
    redis_url: str, database_url: str, kafka: Cluster
) -> None:
    trades, last_us = some_trades(1, 200), START_US + 2 * MINUTE_US
    async with (
        mirroring(redis_url, database_url, kafka, partitions=PARTITIONS),
        working(redis_url, database_url),
        publishing(redis_url) as publisher,
    ):
        await until(lambda: has_started(redis_url, PARTITIONS), "the mirror has started")
        await publish_in_batches(publisher, trades, seed=3)

        async def done() -> bool:
            if not await all_mirrored(kafka, 200):
                return False
            by_key = await mirrored(kafka, "candles")
            minutes = [
                {record.json["open_time_us"] for record in of if record.json["interval"] == "1m"}
                for of in by_key.values()
            ]
            return [max(opened, default=0) for opened in minutes] == [last_us] * len(SYMBOLS)

        await until(done, "all is mirrored")
    by_key = await mirrored(kafka, "trades")
    for symbol in SYMBOLS:
        records = by_key[f"binance:{symbol}"]
        assert [record.json["trade_id"] for record in records] == list(range(1, 201))
        assert [record.json["price"] for record in records] == [f"{100 + i % 7}.25" for i in range(1, 201)]
        entries = [tuple(map(int, record.entry_id.split("-"))) for record in records]
        assert entries == sorted(entries)
    candles = await stored.read_candles(database_url)
    for symbol in SYMBOLS:
        minutes = {
            record.json["open_time_us"]: record.json
            for record in (await mirrored(kafka, "candles"))[f"binance:{symbol}"]
            if record.json["interval"] == "1m"
        }
        assert sorted(minutes) == [START_US, START_US + MINUTE_US, START_US + 2 * MINUTE_US]
        for opened, candle in minutes.items():
            expected = candles[symbol, "1m", opened // 10**6]
            shown = [candle[name] for name in ("open", "high", "low", "close", "volume", "quote_volume")]
            assert [float(text) for text in shown] == [float(value) for value in expected[:6]]
            assert (candle["closed"], candle["trade_count"]) == (True, expected[6])


@on_one_database
async def test_a_restarted_mirror_continues_after_what_kafka_confirmed(
    redis_url: str, database_url: str, kafka: Cluster
) -> None:
    async with working(redis_url, database_url), publishing(redis_url) as publisher:
        async with mirroring(redis_url, database_url, kafka, partitions=PARTITIONS):
            await publisher.publish(some_trades(1, 100))
            await until(lambda: all_mirrored(kafka, 100), "the first part is mirrored")
        # Nobody mirrors these; workers commit them, and trimming waits.
        await publish_in_batches(publisher, some_trades(101, 400), seed=4)

        async def committed() -> bool:
            return await stored_count(database_url) == 400 * len(SYMBOLS)

        await until(committed, "workers don't wait")
        async with mirroring(redis_url, database_url, kafka, partitions=PARTITIONS):
            await publisher.publish(some_trades(401, 500))
            await until(lambda: all_mirrored(kafka, 500), "all is mirrored")
    for records in (await mirrored(kafka, "trades")).values():
        assert [record.json["trade_id"] for record in records] == list(range(1, 501))


@on_one_database
async def test_while_kafka_hangs_nothing_else_waits_and_the_mirror_catches_up(
    redis_url: str, database_url: str, pausable: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        working(redis_url, database_url),
        publishing(redis_url) as publisher,
        mirroring(redis_url, database_url, pausable, partitions=PARTITIONS),
    ):
        await publisher.publish(some_trades(1, 100))
        await until(lambda: all_mirrored(pausable, 100), "the first part is mirrored")
        with pausable.paused():
            await publish_in_batches(publisher, some_trades(101, 3_000), seed=5)
            await asyncio.wait_for(publisher.wait_for_budget(), 10)

            async def committed() -> bool:
                return await stored_count(database_url) == 3_000 * len(SYMBOLS)

            await until(committed, "workers don't wait for Kafka")
        await until(lambda: all_mirrored(pausable, 3_000), "the mirror has caught up")
    for records in (await mirrored(pausable, "trades")).values():
        assert first_seen(records) == list(range(1, 3_001))
    assert "refused" not in caplog.text


@on_one_database
async def test_records_beyond_the_budget_are_omitted_and_logged(
    redis_url: str, database_url: str, kafka: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        working(redis_url, database_url, stream_keep_s=0),
        publishing(redis_url) as publisher,
    ):
        async with mirroring(redis_url, database_url, kafka, partitions=PARTITIONS, budget_bytes=10_000):
            await publisher.publish(some_trades(1, 100))
            await until(lambda: all_mirrored(kafka, 100), "the first part is mirrored")
        for first in range(101, 3_000, 100):
            await publisher.publish(some_trades(first, first + 99))

        async def committed() -> bool:
            return await stored_count(database_url) == 3_000 * len(SYMBOLS)

        await until(committed, "workers don't wait")
        redis: Any = open_redis(redis_url)

        async def trimmed() -> bool:
            lengths = [await redis.xlen(trades_stream(partition)) for partition in range(PARTITIONS)]
            return bool(max(lengths) < 30)

        await until(trimmed, "few are left of the hundreds written: trimming does not wait")
        await redis.aclose()
        async with mirroring(redis_url, database_url, kafka, partitions=PARTITIONS, budget_bytes=10_000):
            await publisher.publish(some_trades(3_001, 3_010))
            await until(lambda: all_mirrored(kafka, 3_010), "the mirror goes on")
    assert "are being trimmed before they are mirrored" in caplog.text
    assert "was trimmed before it was mirrored" in caplog.text
    for records in (await mirrored(kafka, "trades")).values():
        ids = [record.json["trade_id"] for record in records]
        assert ids == sorted(set(ids))
        assert ids[:100] == list(range(1, 101))
        assert len(ids) < 3_000


@on_one_database
async def test_a_mirror_that_is_forgotten_holds_nothing(
    redis_url: str, database_url: str, kafka: Cluster
) -> None:
    async with mirroring(redis_url, database_url, kafka, partitions=PARTITIONS):
        await until(lambda: has_started(redis_url, PARTITIONS), "the mirror has started")
        with pytest.raises(FatalError, match="a mirror is running"):
            await forget_mirror(redis_url=redis_url, database_url=database_url, partitions=PARTITIONS)
        assert await has_started(redis_url, PARTITIONS)
    redis: Any = open_redis(redis_url)
    await redis.xadd(results_stream(0), {"u": b""})
    await forget_mirror(redis_url=redis_url, database_url=database_url, partitions=PARTITIONS)
    keys = [owner_key(role, partition) for role in MIRROR_ROLES for partition in range(PARTITIONS)]
    assert await redis.exists(*keys, results_stream(0)) == 0
    assert await stored.fetch_value(database_url, "select count(*) from lease") == 0
    await redis.aclose()


@on_one_database
@pytest.mark.skipif(
    BROKER is None, reason="TICKPLANT_TEST_KAFKA names no broker, and the mock creates no topics"
)
async def test_missing_topics_are_created_or_named(redis_url: str, database_url: str) -> None:
    assert BROKER is not None
    kafka = Cluster(BROKER, f"test-{uuid4().hex[:8]}.")
    client = AdminClient({"bootstrap.servers": BROKER})
    async with mirroring(redis_url, database_url, kafka, partitions=PARTITIONS):

        async def created() -> bool:
            there = (await asyncio.to_thread(client.list_topics, timeout=10)).topics
            return all(
                f"{kafka.prefix}{name}" in there for name in ("trades", "candles", "signals", "alerts")
            )

        await until(created, "topics are there")
    resource: Any = ConfigResource("topic", f"{kafka.prefix}trades")
    config = await asyncio.to_thread(client.describe_configs([resource])[resource].result)
    assert config["compression.type"].value == "zstd"
    assert config["cleanup.policy"].value == "delete"
    nameless = mirroring(redis_url, database_url, Cluster(BROKER, "not a name "), partitions=PARTITIONS)
    with pytest.raises(ExceptionGroup) as raised:
        async with nameless as running:
            await running
    assert raised.group_contains(FatalError, match="--create --topic not a name trades --partitions 3")


async def test_a_failed_producer_is_replaced_and_its_pending_records_are_refused(
    pausable: Cluster,
) -> None:
    kafka = KafkaProducer({"bootstrap.servers": pausable.bootstrap})
    record = Record(f"{pausable.prefix}trades", b"binance:AAAUSDT", b"{}")
    async with background(kafka.poll()):
        with pausable.paused():
            lost = RecordDelivery("1-0", [record])
            await kafka.send(lost, lambda: False)
            kafka._on_error(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "made up", fatal=True))

            async def refused() -> bool:
                return lost.pending == 0

            await until(refused, "answered for")
        again = RecordDelivery("1-0", [record])
        await kafka.send(again, lambda: False)

        async def confirmed() -> bool:
            return again.pending == 0

        await until(confirmed, "taken")
    assert lost.error is not None
    assert again.error is None
