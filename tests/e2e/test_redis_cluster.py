"""A replay through a Redis Cluster whose masters are killed and whose slots move changes nothing."""

import asyncio
import os
import random
from decimal import Decimal
from pathlib import Path

import offline
import pytest
import stored
from conftest import PARTITIONS, on_one_variant
from processes import Processes, sandbox_status
from redis_cluster import Cluster, running_cluster
from working import until

from tickplant.redis_slots import slot_of
from tickplant.streams import partition_of, trades_stream

SEED = int(os.environ.get("TICKPLANT_TEST_SEED", "20241108"))
SYMBOLS = ("BTCUSDT", "ETHUSDT")
SLOTS = [slot_of(trades_stream(partition_of("binance", symbol, PARTITIONS))) for symbol in SYMBOLS]


@on_one_variant
@pytest.mark.parametrize(
    ("failovers", "speed"), [(2, 25), pytest.param(12, 8, marks=pytest.mark.slow)], ids=["two", "twelve"]
)
async def test_failovers_and_moved_slots_change_nothing_of_what_is_stored(
    failovers: int,
    speed: int,
    server_folder: Path,
    database_url: str,
    recording: Path,
    tmp_path: Path,
) -> None:
    recorded = offline.binance_trades(list(offline.binance_frames(recording, *SYMBOLS)))
    async with running_cluster(server_folder / f"cluster of {failovers}") as cluster:
        environment = {
            "TICKPLANT_REDIS_URL": cluster.url,
            "TICKPLANT_DATABASE_URL": database_url,
            "TICKPLANT_PARTITIONS": str(PARTITIONS),
            "TICKPLANT_LEASE_S": "1",
            "TICKPLANT_COMMIT_INTERVAL_MS": "50",
        }
        async with Processes(environment, tmp_path) as processes:
            sandbox = await processes.start_sandbox(
                "--capture", str(recording), "--speed", str(speed), "--hold"
            )
            for service in ("worker", "worker", "ingest"):
                await processes.start(service)

            async def has_started() -> bool:
                return bool(await stored.fetch_value(database_url, "select exists (select from trades)"))

            async def is_stored() -> bool:
                count = await stored.fetch_value(database_url, "select count(*) from trades")
                assert count <= len(recorded)
                return bool(count == len(recorded))

            try:
                await until(has_started, "trades are stored")
                await harass(cluster, failovers)
                # Only a later trade shows that the ones before it were lost.
                assert (await sandbox_status(sandbox["rest_url"]))["state"] != "finished"
                await until(is_stored, "all trades are stored", timeout_s=120)
            except AssertionError as error:
                error.add_note(processes.logs())
                raise
    assert await stored.read_trades(database_url) == sorted(
        (t["s"], t["t"], Decimal(t["p"]), Decimal(t["q"]), "sell" if t["m"] else "buy", t["T"] * 1000)
        for t in recorded
    )
    assert await stored.read_candles(database_url) == offline.candles(recorded)
    assert await stored.fetch_value(database_url, "select bool_and(isempty(missing)) from ledger")


async def harass(cluster: Cluster, failovers: int) -> None:
    """Kill a master so many times, and move the slot of a partition before and after each time."""
    rng = random.Random(SEED)
    for _ in range(failovers):
        await cluster.move_slot(rng.choice(SLOTS), rng)
        await asyncio.sleep(rng.uniform(0, 0.5))
        await cluster.fail_over(rng)
        await cluster.move_slot(rng.choice(SLOTS), rng)
