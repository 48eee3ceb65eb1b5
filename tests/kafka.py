"""Kafka for the tests: librdkafka's mock cluster in a process of its own, or a real broker.

The mock needs no server, and can be paused like one. `TICKPLANT_TEST_KAFKA=host:port` names a real broker, on
which the same tests run once more; they leave topics of their own there.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from tickplant.redis_client import open_redis
from tickplant.streams import MIRROR_ROLES, owner_key
from workers.mirror import service
from workers.mirror.records import KINDS, Format

BROKER = os.environ.get("TICKPLANT_TEST_KAFKA")
TOPICS = [kind.topic for kind in KINDS.values()]

_MOCK = """
import sys
from confluent_kafka import Producer
mock = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 2})
(broker,) = mock.list_topics(timeout=10).brokers.values()
print(f"{broker.host}:{broker.port}", flush=True)
sys.stdin.read()
"""


class Mirrored(NamedTuple):
    """One record, as a consumer gets it."""

    partition: int
    key: str
    entry_id: str
    value: bytes

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = msgspec.json.decode(self.value)
        return value


class Cluster:
    """Kafka with the topics of one test."""

    def __init__(self, bootstrap: str, prefix: str, process: subprocess.Popen[str] | None = None) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix
        self._process = process
        if process is not None:
            # The mock creates no topics when it is told to, only when it is asked for one.
            client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
            for topic in TOPICS:
                client.list_topics(f"{prefix}{topic}", timeout=30)

    def read(self, topic: str) -> list[Mirrored]:
        """Return what a topic holds, by partition and in order; blocks."""
        with self._consumer() as consumer:
            return [
                Mirrored(
                    message.partition() or 0,
                    (message.key() or b"").decode(),
                    (dict(message.headers() or [])["entry"] or b"").decode(),  # type: ignore[union-attr]
                    message.value() or b"",
                )
                for part, low, high in self._bounds(consumer, topic)
                for message in _consume(consumer, part, low, high)
            ]

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "test", "log_level": 2})
        try:
            yield consumer
        finally:
            consumer.close()

    def _bounds(self, consumer: Consumer, topic: str) -> list[tuple[TopicPartition, int, int]]:
        name = f"{self.prefix}{topic}"
        partitions = consumer.list_topics(name, timeout=30).topics[name].partitions
        parts = [TopicPartition(name, partition) for partition in sorted(partitions)]
        try:
            return [(part, *consumer.get_watermark_offsets(part, timeout=30)) for part in parts]
        except KafkaException as error:
            if error.args[0].code() == KafkaError.NOT_LEADER_FOR_PARTITION:
                return []  # the topic was created a moment ago
            raise

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let Kafka hang: connections stay open, and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


def _consume(consumer: Consumer, part: TopicPartition, low: int, high: int) -> Iterator[Message]:
    if low == high:
        return
    consumer.assign([TopicPartition(part.topic, part.partition, low)])
    while low < high:
        messages = consumer.consume(high - low, timeout=30.0)
        assert messages, "Kafka gives less than it says it has"
        low += len(messages)
        yield from messages
    consumer.unassign()


@contextmanager
def mock_cluster() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a mock cluster; yield its address and process."""
    with subprocess.Popen(
        [sys.executable, "-c", _MOCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


@asynccontextmanager
async def mirroring(
    redis_url: str,
    database_url: str,
    kafka: Cluster,
    *,
    partitions: int,
    format: Format = "json",
    budget_bytes: int = 10**8,
) -> AsyncIterator["asyncio.Task[None]"]:
    """Run the mirror in this process."""
    stop = asyncio.Event()
    task = asyncio.create_task(
        service.run(
            redis_url=redis_url,
            database_url=database_url,
            partitions=partitions,
            lease_s=1.0,
            kafka=service.KafkaSettings(
                properties={"bootstrap.servers": kafka.bootstrap},
                prefix=kafka.prefix,
                format=format,
                topic_partitions=3,
                budget_bytes=budget_bytes,
            ),
            stop=stop,
        )
    )
    try:
        yield task
    finally:
        stop.set()
        await task


async def has_started(redis_url: str, partitions: int) -> bool:
    """Say whether a mirror has all partitions, so that nothing is trimmed without it from now on."""
    redis: Any = open_redis(redis_url)
    keys = [owner_key(role, partition) for role in MIRROR_ROLES for partition in range(partitions)]
    try:
        return all([await redis.hexists(key, "confirmed") for key in keys])
    finally:
        await redis.aclose()
