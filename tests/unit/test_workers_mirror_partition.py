"""How the mirror goes on when Kafka refuses records."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError

from db.leases import Lease
from tickplant.backoff import Backoff
from workers.mirror import partition as mirror
from workers.mirror.kafka import RecordDelivery
from workers.mirror.records import Record

ENTRIES = [(f"{number}-0", {b"t": b""}) for number in range(1, 7)]


class Stream:
    """A source of entries."""

    def __init__(self, stop: asyncio.Event) -> None:
        self.stop = stop
        self.position = 0

    async def seek(self, entry_id: str) -> None:
        self.position = int(entry_id.partition("-")[0])

    async def read(self, *, count: int, block_ms: int) -> Sequence[Any]:
        await asyncio.sleep(0)
        entries = ENTRIES[self.position : self.position + 2]
        self.position += len(entries)
        if not entries:
            self.stop.set()
        return entries

    async def report_confirmed(self, confirmed: str) -> None:
        pass


class Fussy:
    """Kafka that refuses each entry's records so many times, and then takes them."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.asked: list[str] = []

    async def send(self, delivery: RecordDelivery, over: Callable[[], bool]) -> None:
        self.asked.append(delivery.entry_id)
        delivery.pending = 0
        if self.asked.count(delivery.entry_id) <= self.refusals:
            delivery.error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)

    def confirmed(self, records: Sequence[Record]) -> None:
        pass


class Present:
    """Topics that are there."""

    def recheck(self) -> None:
        pass

    async def ensure(self, stop: asyncio.Event) -> bool:
        return True


class Encoder:
    def encode(self, things: Any) -> list[Record]:
        return [things]


async def test_a_record_accepted_after_a_refusal_resets_the_retry_delay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[int] = []

    def next_s(self: Backoff) -> float:
        tries.append(self._tries)
        self._tries += 1
        return 0.0

    async def advance(pool: Any, lease: Lease, expected: str, entry_id: str) -> None:
        committed.append(entry_id)

    committed: list[str] = []
    monkeypatch.setattr(Backoff, "next_s", next_s)
    monkeypatch.setattr(mirror, "advance", advance)
    stop = asyncio.Event()
    kafka: Any = Fussy(refusals=3)
    given: Any = {
        "source": Stream(stop),
        "encoder": Encoder(),
        "topics": Present(),
        "pool": None,
        "extract": lambda fields: fields,
    }
    partition = mirror.MirrorPartition(
        lease=Lease("mirror-trades", 0, "owner", 1, "0-0"), kafka=kafka, **given
    )
    await asyncio.wait_for(partition.run(stop), 10)
    assert tries == [0, 1, 2] * 3  # two entries are on their way at a time
    assert committed[-1] == ENTRIES[-1][0]
    # What was taken is not sent again.
    taken = [entry_id for entry_id, _ in ENTRIES]
    assert [kafka.asked.count(entry_id) for entry_id in taken[::2]] == [4] * 3
