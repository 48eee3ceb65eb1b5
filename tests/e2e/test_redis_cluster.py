"""A replay through a Redis Cluster whose masters are killed and whose slots move changes nothing."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import offline
import pytest
import stored
from conftest import PARTITIONS, OwnRedis, on_one_variant
from processes import Processes, kill, sandbox_status
from redis_cluster import Cluster, running_cluster
from working import START_US, publishing, trade, until

from tickplant.local import RedisServer
from tickplant.local.folder import free_port
from tickplant.redis_slots import slot_of
from tickplant.streams import partition_of, trades_stream

SEED = int(os.environ.get("TICKPLANT_TEST_SEED", "20241108"))
SYMBOLS = ("BTCUSDT", "ETHUSDT")
SLOTS = [slot_of(trades_stream(partition_of("binance", symbol, PARTITIONS))) for symbol in SYMBOLS]
LEASE_S = 5.0
"""No worker ends here: a short lease would only change hands whenever a worker gets no CPU for so long."""


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
            "TICKPLANT_LEASE_S": str(LEASE_S),
            "TICKPLANT_COMMIT_INTERVAL_MS": "50",
        }
        async with Processes(environment, tmp_path) as processes:
            sandbox = await processes.start_sandbox(
                "--capture", str(recording), "--speed", str(speed), "--hold"
            )
            for service in ("worker", "worker"):
                await processes.start(service)
            ingest = await processes.start("ingest")

            async def has_started() -> bool:
                return bool(await stored.fetch_value(database_url, "select exists (select from trades)"))

            async def is_stored() -> bool:
                count = await stored.fetch_value(database_url, "select count(*) from trades")
                assert count <= len(recorded)
                return bool(count == len(recorded))

            try:
                await until(has_started, "trades are stored")
                await harass(cluster, failovers)
                # Only a later trade shows that the ones before it were lost, or a start of ingest.
                if (await sandbox_status(sandbox["rest_url"]))["state"] == "finished":
                    await kill(ingest)
                    await processes.start("ingest")
                await until(is_stored, "all trades are stored", timeout_s=120)
            except AssertionError as error:
                error.add_note(processes.logs())
                raise
    await check_stored(database_url, recorded)


async def check_stored(database_url: str, recorded: list[dict[str, Any]]) -> None:
    """Compare what is stored with the recording."""
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


@on_one_variant
@pytest.mark.parametrize("hangs", [False, True], ids=["killed", "hanging"])
async def test_one_of_three_servers_is_away_for_a_while(
    own_redis: OwnRedis, database_url: str, recording: Path, tmp_path: Path, hangs: bool
) -> None:
    recorded = offline.binance_trades(list(offline.binance_frames(recording, *SYMBOLS)))
    counts = Counter(trade["s"] for trade in recorded)
    servers = [await own_redis() for _ in range(3)]
    partitions = 7
    assert [partition_of("binance", symbol, partitions) for symbol in SYMBOLS] == [1, 2]  # as the servers
    await stored.fetch_rows(database_url, "update plant set partitions = $1", partitions)
    environment = {
        "TICKPLANT_REDIS_URL": ",".join(server.url for server in servers),
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_PARTITIONS": str(partitions),
        "TICKPLANT_LEASE_S": str(LEASE_S),
        "TICKPLANT_COMMIT_INTERVAL_MS": "50",
    }
    async with Processes(environment, tmp_path) as processes:
        await processes.start_sandbox("--capture", str(recording), "--speed", "25", "--hold")
        for service in ("worker", "worker", "ingest"):
            await processes.start(service)
        try:
            await until(lambda: has_more(database_url, "BTCUSDT", 0), "its trades are stored")
            await (signalled(servers[1], signal.SIGSTOP) if hangs else servers[1].kill())
            # What workers had read before is stored yet.
            await until(lambda: is_stalled(database_url), "its trades stall, and the other symbol goes on")
            stalled = await stored_of(database_url, "BTCUSDT")
            await (signalled(servers[1], signal.SIGCONT) if hangs else servers[1].start())
            await until(lambda: has_more(database_url, "BTCUSDT", stalled + 500), "it goes on")
            for target in (2, 0, 1):
                code, said = await processes.run(
                    "partitions", "move", "1", f"127.0.0.1:{servers[target].port}"
                )
                assert (code, said.startswith("partition 1 is on")) == (0, True), said
                stalled = await stored_of(database_url, "BTCUSDT")
                # The tape may have ended before, where much else runs.
                wanted = min(stalled + 500, counts["BTCUSDT"] - 1)
                await until(partial(has_more, database_url, "BTCUSDT", wanted), "it goes on there")
            for symbol in SYMBOLS:
                all_stored = partial(has_more, database_url, symbol, counts[symbol] - 1)
                await until(all_stored, "all are stored", timeout_s=90)
        except AssertionError as error:
            error.add_note(processes.logs())
            raise
    await check_stored(database_url, recorded)


async def signalled(server: RedisServer, number: signal.Signals) -> None:
    assert server.pid is not None
    os.kill(server.pid, number)


async def stored_of(database_url: str, symbol: str) -> int:
    return int(
        await stored.fetch_value(database_url, "select count(*) from trades where symbol = $1", symbol)
    )


async def is_stalled(database_url: str) -> bool:
    """Return whether no trade of the first symbol is stored while 500 of the other one are."""
    stalled, before = [await stored_of(database_url, symbol) for symbol in SYMBOLS]
    await until(lambda: has_more(database_url, "ETHUSDT", before + 499), "the other symbol goes on")
    return await stored_of(database_url, "BTCUSDT") == stalled


async def has_more(database_url: str, symbol: str, count: int) -> bool:
    return await stored_of(database_url, symbol) > count


@on_one_variant
async def test_a_shard_that_is_away_stalls_its_partitions_only(
    server_folder: Path, database_url: str, tmp_path: Path
) -> None:
    names = {partition_of("binance", name, PARTITIONS): name for name in map("S{}USDT".format, range(50))}
    port = free_port()
    async with running_cluster(server_folder / "cluster with a shard away") as cluster:
        environment = {
            "TICKPLANT_REDIS_URL": cluster.url,
            "TICKPLANT_DATABASE_URL": database_url,
            "TICKPLANT_PARTITIONS": str(PARTITIONS),
            "TICKPLANT_API_PORT": str(port),
            "TICKPLANT_LEASE_S": str(LEASE_S),
            "TICKPLANT_COMMIT_INTERVAL_MS": "50",
        }
        async with Processes(environment, tmp_path) as processes, publishing(cluster.url) as publisher:
            try:
                for service in ("worker", "api"):
                    await processes.start(service)
                await publisher.publish([trade(1, at_us=START_US, symbol=name) for name in names.values()])
                await until(lambda: are_stored(database_url, names, 1), "a trade of each partition is stored")
                await until(lambda: has_problems(port, set()), "no partition has a problem")
                away = await cluster.kill_shard(slot_of(trades_stream(0)))
                stalled = {
                    number for number in range(PARTITIONS) if slot_of(trades_stream(number)) in away.slots
                }
                others = {number: name for number, name in names.items() if number not in stalled}
                assert others
                await until(lambda: has_problems(port, stalled), "the health names the partitions")
                for number in range(2, 12):
                    await publisher.publish(
                        [trade(number, at_us=START_US + number, symbol=name) for name in names.values()]
                    )
                await until(lambda: are_stored(database_url, others, 11), "other partitions go on")
                assert await are_stored(database_url, {0: names[0]}, 1)
                for node in away.nodes:
                    await node.start()
                await until(lambda: are_stored(database_url, names, 11), "all trades are stored")
                await until(lambda: has_problems(port, set()), "no partition has a problem any longer")
            except AssertionError as error:
                error.add_note(processes.logs())
                raise


async def are_stored(database_url: str, names: Mapping[int, str], count: int) -> bool:
    """Return whether each symbol has so many trades."""
    query = "select count(*) from trades where symbol = any($1)"
    return bool(await stored.fetch_value(database_url, query, list(names.values())) == count * len(names))


async def has_problems(port: int, partitions: set[int]) -> bool:
    """Return whether just these partitions have one, while the API is of use."""
    async with httpx.AsyncClient() as http:
        try:
            answer = await http.get(f"http://127.0.0.1:{port}/health", timeout=30)
        except httpx.TransportError:
            return False
    report = answer.json()
    found = {row["partition"] for row in report["partitions"] if row["problem"]}
    return found == partitions and report["status"] == ("degraded" if partitions else "ready")
