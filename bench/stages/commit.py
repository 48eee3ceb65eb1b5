"""Stage `commit`: a full stream to committed rows, beside COPY of the same rows into the same table."""

import asyncio
import time
from io import BytesIO
from typing import Final, Literal

import asyncpg

from bench.plant import SETTINGS, BenchPlant
from bench.results import Aim, Reference, Result
from bench.stage import Bench
from bench.stages.worker_run import run_workers
from db.commit import TRADE_COLUMNS

_AIM: Final = 0.7
_CONNECTIONS: Final = (1, 2)
"""COPYs side by side; with one a core, it is the server that limits."""
_Format = Literal["text", "binary"]


async def measure_commit(bench: Bench) -> list[Result]:
    """Measure one worker process beside COPY."""
    plant = bench.plant
    run = await run_workers(bench, bench.sizes.trades)
    text = await copy_out(plant)
    copies = [await copy_in(plant, text, "text", connections) for connections in _CONNECTIONS]
    binary = await _to_binary(plant, text)
    copies += [await copy_in(plant, binary, "binary", connections) for connections in _CONNECTIONS]
    fastest = max(copies, key=lambda copy: copy.value)
    return [
        Result(
            "commit",
            "stream to committed rows, 1 worker",
            run.per_s,
            "trades/s",
            tuple(copies),
            (Aim(_AIM, at_most=False, of=fastest.name),),
            run.cpu,
        )
    ]


async def copy_out(plant: BenchPlant) -> list[bytes]:
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


async def _to_binary(plant: BenchPlant, blocks: list[bytes]) -> list[bytes]:
    """Return the same blocks in COPY's binary format."""
    connection = await asyncpg.connect(plant.database_url)
    columns = ", ".join(TRADE_COLUMNS)
    await connection.execute(f"create temp table block as select {columns} from trades limit 0")  # noqa: S608 - a constant
    converted: list[bytes] = []
    for block in blocks:
        await connection.copy_to_table("block", source=BytesIO(block), format="text")
        binary = BytesIO()
        await connection.copy_from_table("block", output=binary, format="binary")
        await connection.execute("truncate block")
        converted.append(binary.getvalue())
    await connection.close()
    return converted


async def copy_in(plant: BenchPlant, blocks: list[bytes], row_format: _Format, connections: int) -> Reference:
    """Measure COPY of rows into the empty table, a transaction a block."""
    await plant.empty()
    pending = iter(blocks)
    count = 0

    async def copy() -> None:
        nonlocal count
        connection = await asyncpg.connect(plant.database_url)
        for block in pending:
            status = await connection.copy_to_table(
                "trades", source=BytesIO(block), columns=TRADE_COLUMNS, format=row_format
            )
            count += int(status.removeprefix("COPY "))
        await connection.close()

    started_s = time.perf_counter()
    await asyncio.gather(*(copy() for _ in range(connections)))
    name = f"bare {row_format} COPY, {connections} connection{'s' if connections > 1 else ''}"
    return Reference(name, count / (time.perf_counter() - started_s))
