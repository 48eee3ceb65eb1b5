"""Whatever goes wrong between a venue and us, every trade is stored once, or the ledger names it as missing.

The sandbox injects faults by seed, and ingest is killed along the way. `TICKPLANT_TEST_SEEDS=50` runs fifty.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import stored
from conftest import PARTITIONS, on_last_variant
from processes import Processes, kill, sandbox_status
from working import until, working

from sandbox.generator import generate
from sandbox.history import SandboxHistory
from sandbox.venues import VENUES
from tickplant.intervals import INTERVALS
from tickplant.market import Trade, fold
from tickplant.redis_client import open_redis
from tickplant.streams import entry_order, trades_stream

SYMBOLS = {"binance": "BTCUSDT", "coinbase": "BTC-USD", "kraken": "BTC/USD"}
COUNT, RATE, SPEED = 4_500, 300.0, 2
SEEDS = range(1, 1 + int(os.environ.get("TICKPLANT_TEST_SEEDS", "1")))
LOST_AT_THE_BEGIN = 500
"""Trades before the first that was received, which nothing betrays: frames may have been lost before it."""


def made_up(venue: str, seed: int) -> list[Trade]:
    """Return the trades of a venue's tape."""
    share = len(SYMBOLS)
    tape = generate([SYMBOLS[venue]], COUNT // share, rate=RATE / share, seed=seed, venue=VENUES[venue])
    (history,) = tape.columns.values()
    return SandboxHistory(history, len(history)).latest(COUNT)


@asynccontextmanager
async def replay(
    seed: int, redis_url: str, database_url: str, logs: Path, *options: str
) -> AsyncIterator[tuple[Processes, str]]:
    """Play the tapes through with faults and kills; ingest runs on until the end of the block."""
    environment = {
        "TICKPLANT_REDIS_URL": redis_url,
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
    }
    rng = random.Random(seed)
    symbols = [f"{venue}:{symbol}" for venue, symbol in SYMBOLS.items()]
    made = ["--count", str(COUNT), "--rate", str(RATE), "--seed", str(seed), "--speed", str(SPEED)]
    async with Processes(environment, logs) as processes:
        ready = await processes.start_sandbox(
            "--symbols", *symbols, *made, "--hold", "--faults", str(seed), *options
        )
        rest_url = str(ready["rest_url"])
        ingest = await processes.start("ingest")

        async def started() -> bool:
            return set(await first_ids(database_url)) == set(SYMBOLS)

        await until(started, "a trade of each venue stored")
        while (await sandbox_status(rest_url))["state"] != "finished":
            await asyncio.sleep(rng.uniform(0.5, 3))
            if rng.random() < 0.5:
                await kill(ingest)
                ingest = await processes.start("ingest")
        await kill(ingest)  # so that the last trades are asked for, which no later one would betray as lost
        await processes.start("ingest")
        yield processes, rest_url


async def last_entries(redis_url: str) -> dict[int, str]:
    """Return the last entry of each partition's trades, where there is one."""
    redis: Any = open_redis(redis_url)
    found = {number: await redis.xrevrange(trades_stream(number), count=1) for number in range(PARTITIONS)}
    await redis.aclose()
    return {number: entries[0][0].decode() for number, entries in found.items() if entries}


async def first_ids(url: str) -> dict[str, int]:
    rows = await stored.fetch_rows(url, "select venue, first_trade_id from ledger")
    return {row["venue"]: row["first_trade_id"] for row in rows}


@on_last_variant
@pytest.mark.parametrize("seed", SEEDS)
async def test_no_fault_loses_or_duplicates_a_trade(
    seed: int, redis_url: str, database_url: str, tmp_path: Path
) -> None:
    truth = {venue: made_up(venue, seed) for venue in SYMBOLS}
    async with (
        working(redis_url, database_url),
        replay(seed, redis_url, database_url, tmp_path) as (processes, rest_url),
    ):

        async def healed() -> bool:
            rows = await stored.fetch_rows(database_url, "select venue, last_trade_id, missing from ledger")
            ends = {row["venue"]: row["last_trade_id"] for row in rows if not row["missing"]}
            return ends == {venue: trades[-1].trade_id for venue, trades in truth.items()}

        try:
            await until(healed, "everything healed", timeout_s=90)
        except AssertionError:
            rows = await stored.fetch_rows(database_url, "select * from ledger")
            ends = {venue: trades[-1].trade_id for venue, trades in truth.items()}
            status = await sandbox_status(rest_url)
            pytest.fail(f"not healed: {rows}\n{ends}\n{status}\n{processes.logs()}")
        assert sum((await sandbox_status(rest_url))["faults"].values()) > 3
    starts = await first_ids(database_url)
    for venue, trades in truth.items():
        received = [trade for trade in trades if trade.trade_id >= starts[venue]]
        assert len(received) >= len(trades) - LOST_AT_THE_BEGIN
        await expect_stored(database_url, venue, received)
    assert await stored.fetch_value(database_url, "select count(*) from gaps where state <> 'healed'") == 0


async def expect_stored(url: str, venue: str, expected: list[Trade]) -> None:
    """Expect these trades, once each, and the candles that they make."""
    rows = await stored.fetch_rows(
        url, "select trade_id, price, size, side, event_time from trades where venue = $1 order by 1", venue
    )
    assert [row["trade_id"] for row in rows] == [trade.trade_id for trade in expected]
    for row, trade in zip(rows, expected, strict=True):
        assert (row["price"], row["size"]) == (Decimal(trade.price), Decimal(trade.size))
        assert row["side"] == trade.side
        assert round(row["event_time"].timestamp() * 1e6) == trade.event_time_us
    candles = await stored.fetch_rows(
        url,
        'select "interval", extract(epoch from open_time)::int8 * 1000000 as opened, open, high, low, close,'
        " volume, quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume from candles"
        " where venue = $1",
        venue,
    )
    folded = [candle for name, length in INTERVALS.items() for candle in fold(expected, name, length)]
    fields = (
        "interval",
        "open_time_us",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "quote_volume",
        "trade_count",
        "taker_buy_volume",
        "taker_buy_quote_volume",
    )
    assert {tuple(row) for row in candles} == {
        tuple(getattr(candle, name) for name in fields) for candle in folded
    }


@on_last_variant
async def test_without_history_the_ledger_names_exactly_what_is_missing(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    seed = 7
    truth = {venue: made_up(venue, seed) for venue in SYMBOLS}
    async with (
        working(redis_url, database_url),
        replay(seed, redis_url, database_url, tmp_path, "--no-history", "404"),
    ):
        entries = await last_entries(redis_url)

        async def committed() -> bool:
            rows = await stored.fetch_rows(database_url, "select partition, entry_id from lease")
            ends = {row["partition"]: entry_order(row["entry_id"]) for row in rows}
            return all(ends[number] >= entry_order(entry) for number, entry in entries.items())

        async def answered() -> bool:
            query = "select count(*) from gaps where state in ('open', 'backfilling')"
            return bool(await stored.fetch_value(database_url, query) == 0)

        await until(committed, "all that was received is committed, and its gaps are known")
        await until(answered, "every gap has the venue's answer", timeout_s=90)
    lost = 0
    for venue, trades in truth.items():
        rows = await stored.fetch_rows(database_url, "select trade_id from trades where venue = $1", venue)
        ids = [row["trade_id"] for row in rows]
        assert len(ids) == len(set(ids))
        missing = await stored.fetch_rows(
            database_url,
            "select generate_series(lower(r), upper(r) - 1) as id from ledger, unnest(missing) r"
            " where venue = $1",
            venue,
        )
        between = {trade.trade_id for trade in trades if min(ids) <= trade.trade_id <= max(ids)}
        assert {row["id"] for row in missing} == between - set(ids)
        lost += len(missing)
    assert lost, "some are unrecoverable"
    states = await stored.fetch_rows(database_url, "select distinct state, reason from gaps")
    assert {row["state"] for row in states} <= {"healed", "unrecoverable"}
    assert any("404" in (row["reason"] or "") for row in states)
