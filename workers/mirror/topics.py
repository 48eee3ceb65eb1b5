"""Kafka topics: created if missing; an error lists what to create where Kafka refuses."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tickplant.backoff import Backoff
from tickplant.errors import FatalError
from tickplant.outage import OutageLog

_log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 5.0

_TRANSIENT: Final = (
    KafkaError.NOT_CONTROLLER,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.LEADER_NOT_AVAILABLE,
)

SETTINGS: Final[Mapping[str, str]] = {
    # Older data is in the database. Records of a symbol share a key, so compaction would retain one of them.
    "cleanup.policy": "delete",
    "retention.ms": str(7 * 24 * 3600 * 1000),
    "compression.type": "zstd",  # as the producer sends them, so that the broker need not recompress
}
"""Of the topics that are created; existing topics are not altered."""


class Topics:
    """Creates the topics that do not exist."""

    def __init__(self, properties: Mapping[str, Any], names: Sequence[str], *, partitions: int) -> None:
        """Take what is needed.

        Args:
            properties: librdkafka's, `bootstrap.servers` among them.
            names: of the topics.
            partitions: of each topic that is created.
        """
        self._client = open_admin(properties)
        self._bootstrap = properties["bootstrap.servers"]
        self._names = names
        self._partitions = partitions
        self._lock = asyncio.Lock()
        self._ready = False

    def recheck(self) -> None:
        """Check the topics again the next time, since Kafka has refused a record."""
        self._ready = False

    async def ensure(self, stop: asyncio.Event) -> bool:
        """Create the topics that are missing, waiting while Kafka is unavailable, or until `stop`.

        Returns:
            Whether they exist.

        Raises:
            FatalError: Kafka refuses to create them; the message says what to create.
        """
        async with self._lock:
            backoff = Backoff(first_s=0.5, cap_s=5.0)
            outage = OutageLog(
                _log,
                f"{self._bootstrap} can't be reached, retrying",
                f"{self._bootstrap} can be reached again",
            )
            while not (self._ready or stop.is_set()):
                try:
                    missing = await asyncio.to_thread(missing_topics, self._client, self._names)
                    await asyncio.to_thread(_create, self._client, missing, self._partitions)
                except KafkaException as error:
                    outage.note_failure(error.args[0].str())
                    with suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), backoff.next_s())
                else:
                    self._ready = True
                    outage.note_success()
            return self._ready


def open_admin(properties: Mapping[str, Any]) -> AdminClient:
    """Return a client that connects when it is first used.

    Raises:
        FatalError: librdkafka refuses the properties.
    """
    try:
        return AdminClient({"log_level": 2, **properties})
    except KafkaException as error:
        raise FatalError(f"TICKPLANT_KAFKA_PROPERTIES: {error.args[0].str()}") from error


def missing_topics(client: AdminClient, names: Sequence[str]) -> list[str]:
    """Return the topics that do not exist; blocks.

    Raises:
        KafkaException: Kafka can't be reached.
    """
    existing = client.list_topics(timeout=_TIMEOUT_S).topics
    return [name for name in names if name not in existing]


def _create(client: AdminClient, names: Sequence[str], partitions: int) -> None:
    """Create topics; blocks."""
    if not names:
        return
    topics = [NewTopic(name, num_partitions=partitions, config=dict(SETTINGS)) for name in names]
    for name, done in client.create_topics(topics, operation_timeout=_TIMEOUT_S).items():
        try:
            done.result()
        except KafkaException as raised:
            error = raised.args[0]
            if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:  # another mirror was faster
                continue
            if error.code() < 0 or error.code() in _TRANSIENT:  # librdkafka's own codes are negative
                raise
            raise FatalError(_advice(name, names, partitions, error)) from raised
        _log.info("topic %s created with %d partitions", name, partitions)


def _advice(refused: str, names: Sequence[str], partitions: int, error: KafkaError) -> str:
    settings = " ".join(f"--config {name}={value}" for name, value in SETTINGS.items())
    commands = "\n".join(
        f"  kafka-topics.sh --bootstrap-server … --create --topic {name} --partitions {partitions} {settings}"
        for name in names
    )
    return f"Kafka refuses to create the topic {refused}: {error.str()}. Create what is missing:\n{commands}"
