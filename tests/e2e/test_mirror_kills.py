"""Killing the mirror at any moment loses no record, and puts none before its time."""

import asyncio
from collections import defaultdict
from pathlib import Path
from uuid import uuid4

from conftest import PARTITIONS, on_last_variant
from kafka import Cluster, has_started, mock_cluster
from processes import Processes, kill
from working import START_US, publishing, trade, until, working

KILLS = 3
TRADES = 4_000


@on_last_variant
async def test_a_killed_mirror_loses_nothing_and_keeps_the_order(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    trades = [
        trade(i, at_us=START_US + i * 1_000, symbol=symbol)
        for i in range(1, TRADES + 1)
        for symbol in ("AAAUSDT", "BBBUSDT", "CCCUSDT")
    ]
    with mock_cluster() as (bootstrap, process):
        kafka = Cluster(bootstrap, f"test-{uuid4().hex[:8]}.", process)
        settings = {
            "TICKPLANT_REDIS_URL": redis_url,
            "TICKPLANT_DATABASE_URL": database_url,
            "TICKPLANT_PARTITIONS": str(PARTITIONS),
            "TICKPLANT_LEASE_S": "0.5",
            "TICKPLANT_KAFKA_BOOTSTRAP": bootstrap,
            "TICKPLANT_KAFKA_PREFIX": kafka.prefix,
        }

        async def count() -> int:
            return len(await asyncio.to_thread(kafka.read, "trades"))

        async with (
            Processes(settings, tmp_path) as processes,
            working(redis_url, database_url),
            publishing(redis_url) as publisher,
        ):

            async def publish(part: int) -> None:
                first, after = (len(trades) * number // (KILLS + 1) for number in (part, part + 1))
                for start in range(first, after, 60):
                    await publisher.publish(trades[start : min(start + 60, after)])
                    await asyncio.sleep(0.02)

            mirror = await processes.start("mirror")
            await until(lambda: has_started(redis_url, PARTITIONS), "the mirror has started")
            for part in range(KILLS):
                before = await count()
                publishing_part = asyncio.create_task(publish(part))

                async def more(before: int = before) -> bool:
                    return await count() > before

                await until(more, f"the mirror works: {processes.logs()}")
                await kill(mirror)
                mirror = await processes.start("mirror")
                await publishing_part
            await publish(KILLS)

            async def done() -> bool:
                seen = {record.json["trade_id"] for record in await asyncio.to_thread(kafka.read, "trades")}
                return TRADES in seen and len(seen) == TRADES

            await until(done, f"all is mirrored: {processes.logs()}")
            mirror.terminate()
            assert await asyncio.wait_for(mirror.wait(), 15) == 0
        first_seen: defaultdict[str, dict[int, None]] = defaultdict(dict)
        for record in kafka.read("trades"):
            first_seen[record.key].setdefault(record.json["trade_id"])
    assert [list(ids) for ids in first_seen.values()] == [list(range(1, TRADES + 1))] * 3
