"""Stage `commit`: a full stream to committed rows, beside COPY of the same rows alone."""

import asyncio
import time
from io import BytesIO
from typing import Final

import asyncpg

from bench.cpu import CpuMeter
from bench.market import make_frames
from bench.plant import SETTINGS, BenchPlant
from bench.result import MeasuredRate, Result, Throughput
from db.commit import TRADE_COLUMNS
from db.pool import Pool, open_pool
from db.progress import count_trades
from ingest.publisher import Publisher
from ingest.venues.binance import BinanceAdapter

_PUBLISHED: Final = 2_500
"""Trades published at a time: some 300 an entry, as ingest writes them at full speed."""
_COPIES: Final = 2
"""COPYs side by side: one a core, so that it is the server that limits."""


async def measure_commit(plant: BenchPlant, count: int) -> list[Result]:
    """Measure one worker process beside COPY."""
    await plant.empty()
    publisher = Publisher(plant.redis, partitions=SETTINGS.partitions, budget_trades=10**12)
    parsed = [BinanceAdapter.parse_frame(frame, time.time_ns() // 1000) for frame in make_frames(count)]
    trades = [trade for trades in parsed if isinstance(trades, tuple) for trade in trades]
    for start in range(0, count, _PUBLISHED):
        await publisher.publish(trades[start : start + _PUBLISHED])
    meter = CpuMeter()
    async with plant.processes("worker"), open_pool(plant.database_url, size=1, application="bench") as pool:
        per_s = await rate_of_commits(plant, pool, count)
        costs = meter.read(count)
    rows = await _copy_out(plant)
    return [
        Throughput(
            "stream to committed rows",
            MeasuredRate("stream, one worker, PostgreSQL", per_s),
            (await _copy_in(plant, rows, 1), await _copy_in(plant, rows, _COPIES)),
            notes=(costs,),
        )
    ]


async def rate_of_commits(plant: BenchPlant, pool: Pool, count: int) -> float:
    """Return the trades committed a second, from the first lease taken to the last commit."""

    async def is_done() -> bool:
        return await count_trades(pool) >= count

    await wait_for_worker(plant, pool)
    started_s = time.perf_counter()
    await plant.until(is_done, f"{count:,} trades committed")
    return count / (time.perf_counter() - started_s)


async def wait_for_worker(plant: BenchPlant, pool: Pool) -> None:
    """Wait until a worker has taken a partition."""

    async def is_taken() -> bool:
        return bool(await pool.fetchval("select exists (select from lease where epoch > 0)"))

    await plant.until(is_taken, "a worker to take a partition", poll_s=0.005)


async def _copy_out(plant: BenchPlant) -> list[bytes]:
    """Return the stored rows as COPY text, cut where a worker would commit."""
    blocks: list[bytes] = []

    async def keep(block: bytes) -> None:
        blocks.append(bytes(block))

    connection = await asyncpg.connect(plant.database_url)
    columns = ", ".join(TRADE_COLUMNS)
    await connection.copy_from_query(f"select {columns} from trades", output=keep, format="text")  # noqa: S608 - a constant
    await connection.close()
    lines = b"".join(blocks).splitlines(keepends=True)
    size = SETTINGS.commit_trades
    return [b"".join(lines[start : start + size]) for start in range(0, len(lines), size)]


async def _copy_in(plant: BenchPlant, rows: list[bytes], connections: int) -> MeasuredRate:
    """Measure COPY of rows into the empty table, a transaction a block."""
    await plant.empty()
    pending = iter(rows)

    async def copy() -> None:
        connection = await asyncpg.connect(plant.database_url)
        for block in pending:
            await connection.copy_to_table(
                "trades", source=BytesIO(block), columns=TRADE_COLUMNS, format="text"
            )
        await connection.close()

    started_s = time.perf_counter()
    await asyncio.gather(*(copy() for _ in range(connections)))
    count = sum(block.count(b"\n") for block in rows)
    name = f"bare COPY of the same rows, {connections} connection{'s' if connections > 1 else ''}"
    return MeasuredRate(name, count / (time.perf_counter() - started_s))
