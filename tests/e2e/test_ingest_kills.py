"""Ingest may be killed at any moment, or run twice: what was missed is fetched, and nothing is doubled."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import offline
import pytest
import stored
from conftest import PARTITIONS, on_last_variant
from derived import clean_run, forget_everything, read_derived
from forked import Command
from processes import Processes, kill
from working import START_US, parse_binance, stored_count, until, working

from tickplant.cli.roles import role_settings
from tickplant.settings import Settings

SPEED = "60"  # slow enough for trades to follow the last kill: they betray what is missing
# So that ten minutes of trades are enough for strategies to give signals.
LIVELY = role_settings(
    Settings(
        sma=(2, 4),
        strategies=("dip?share=0.9997&cooldown_s=1", "cross?averages=sma_2+sma_4", "hop?threshold=0.00005"),
        bot_strategies=("cross", "hop", "dip"),
        gap_wait_s=60.0,  # what is missed comes in time, also where ingest starts slowly
    )
)


@asynccontextmanager
async def replay(
    redis_url: str, database_url: str, recording: Path, logs: Path, *options: str
) -> AsyncIterator[Processes]:
    environment = {
        "TICKPLANT_REDIS_URL": redis_url,
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
    }
    captures = str(recording)
    async with Processes(environment, logs) as processes, working(redis_url, database_url, roles=LIVELY):
        await processes.start_sandbox("--capture", captures, "--speed", SPEED, "--hold", *options)
        yield processes


async def first_trades_stored(url: str) -> None:
    """Wait for the first trades of both symbols: what came before those is not known to be missing."""

    async def stored_of_both() -> bool:
        return len({row[0] for row in await stored.read_trades(url)}) == 2

    await until(stored_of_both, "a trade of each symbol stored")


async def expect_everything(url: str, recording: Path, processes: Processes) -> None:
    recorded = offline.binance_trades(offline.binance_frames(recording, "BTCUSDT", "ETHUSDT"))

    async def all_stored() -> bool:
        return await stored_count(url) == len(recorded)

    try:
        await until(all_stored, "all trades stored", timeout_s=60)
    except AssertionError:
        pytest.fail(
            f"{await stored_count(url)} of {len(recorded)} trades were stored, gaps:"
            f" {await stored.read_gaps(url)}\n{processes.logs()}"
        )
    assert await stored.read_trades(url) == sorted(
        (t["s"], t["t"], Decimal(t["p"]), Decimal(t["q"]), "sell" if t["m"] else "buy", t["T"] * 1000)
        for t in recorded
    )
    assert await stored.read_candles(url) == offline.candles(recorded)
    assert {row[2] for row in await stored.read_gaps(url)} <= {"healed"}
    for symbol in ("BTCUSDT", "ETHUSDT"):
        flags = await stored.read_flags(url, symbol)
        assert [complete for _, _, complete, _ in flags] == [False, *[True] * 10, False]


@on_last_variant
async def test_ingest_killed_again_and_again_misses_nothing(
    redis_url: str, database_url: str, recording: Path, tmp_path: Path
) -> None:
    rng = random.Random(3)
    async with replay(redis_url, database_url, recording, tmp_path) as processes:
        for number in range(6):
            ingest = await processes.start("ingest")
            if number == 0:
                await first_trades_stored(database_url)
            await asyncio.sleep(rng.uniform(0.5, 1.2))
            await kill(ingest)
            await asyncio.sleep(rng.uniform(0, 0.4))
        await processes.start("ingest")
        await expect_everything(database_url, recording, processes)
    found = await read_derived(database_url)
    await forget_everything(redis_url, database_url)
    trades = parse_binance(offline.binance_frames(recording, "BTCUSDT", "ETHUSDT"), START_US)
    expected = await clean_run(redis_url, database_url, trades, [], LIVELY)
    assert found["signals"]
    assert found == expected


@on_last_variant
async def test_two_ingest_processes_store_every_trade_once(
    redis_url: str, database_url: str, recording: Path, tmp_path: Path
) -> None:
    async with replay(redis_url, database_url, recording, tmp_path) as processes:
        first = await processes.start("ingest")
        await processes.start("ingest")
        await first_trades_stored(database_url)
        await asyncio.sleep(1)
        await kill(first)
        await expect_everything(database_url, recording, processes)


@on_last_variant
async def test_shards_share_the_symbols_out_and_another_number_of_them_misses_nothing(
    redis_url: str, database_url: str, recording: Path, tmp_path: Path
) -> None:
    async with replay(redis_url, database_url, recording, tmp_path) as processes:

        async def start_shards(total: int) -> list[Command]:
            shards = []
            for number in range(total):
                processes.set(TICKPLANT_INGEST_SHARD=f"{number}/{total}")
                shards.append(await processes.start("ingest"))

            async def have_begun() -> bool:
                return processes.logs().count(f"/{total} receives ") == total

            await until(have_begun, "each shard knows its symbols, and ends in order if it is told to")
            return shards

        shards = await start_shards(2)
        await first_trades_stored(database_url)
        assert processes.logs().count("receives 1 of 2 symbols") == 2
        for total in (3, 1):
            for shard in shards:
                shard.terminate()
                assert await asyncio.wait_for(shard.wait(), 30) == 0
            shards = await start_shards(total)
            await asyncio.sleep(0.5)
        await expect_everything(database_url, recording, processes)
