"""Stage `commit`: a full stream to committed rows, beside COPY of the same rows into the same table."""

import asyncio
import time
from functools import partial
from io import BytesIO
from typing import Final

import asyncpg

from bench.cpu import CpuMeter
from bench.plant import SETTINGS, BenchPlant
from bench.prefill import publish_frames
from bench.progress import wait_for_worker, wait_until_committed
from bench.results import Aim, CpuCost, Reference, Result
from bench.stage import Bench
from db.commit import TRADE_COLUMNS

_AIM: Final = 0.7
_CONNECTIONS: Final = (1, 2)
"""COPYs side by side; with one a core, it is the server that limits."""


async def measure_commit(bench: Bench) -> list[Result]:
    """Measure one worker process beside COPY."""
    plant = bench.plant
    per_s, cpu = await measure_workers(bench, 1)
    rows = await _copy_out(plant)
    copies = [await _copy_in(plant, rows, connections) for connections in _CONNECTIONS]
    fastest = max(copies, key=lambda copy: copy.value)
    return [
        Result(
            "commit",
            "stream to committed rows, 1 worker",
            per_s,
            "trades/s",
            tuple(copies),
            (Aim(_AIM, at_most=False, of=fastest.name),),
            cpu,
        )
    ]


async def measure_workers(bench: Bench, workers: int) -> tuple[float, CpuCost]:
    """Return how many trades of a full stream workers commit a second, and what a trade costs.

    Measured once a run, from when all partitions are taken to the last commit.
    """
    return await bench.once(f"workers, {workers}", partial(_measure_workers, workers=workers))


async def _measure_workers(bench: Bench, workers: int) -> tuple[float, CpuCost]:
    plant, count = bench.plant, bench.sizes.trades
    await plant.empty()
    await publish_frames(plant.publisher(), await bench.frames.get(count))
    async with plant.processes(*["worker"] * workers), plant.open_pool() as pool:
        await wait_for_worker(plant, pool)
        meter = CpuMeter()
        started_s = time.perf_counter()
        ended_s = await wait_until_committed(plant, pool, count)
        return count / (ended_s - started_s), meter.read(count)


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


async def _copy_in(plant: BenchPlant, rows: list[bytes], connections: int) -> Reference:
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
    name = f"bare COPY, {connections} connection{'s' if connections > 1 else ''}"
    return Reference(name, count / (time.perf_counter() - started_s))
