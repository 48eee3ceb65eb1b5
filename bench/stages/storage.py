"""Stage `storage`: bytes a trade and a candle take on disk, in the row store and in the columnstore."""

from typing import Final

import asyncpg

from bench.candle_walk import candle_walk
from bench.prefill import publish_frames
from bench.progress import wait_until_committed
from bench.results import Aim, Result
from bench.stage import Bench
from db.candle_rows import PART_COLUMNS, part_values

_SYMBOLS: Final = 5
_RATE: Final = 5.0
"""Trades a second by exchange time."""
_AIMS: Final = {"trades": 14.0, "closed_candles": 30.0}
"""Bytes in the columnstore."""
_HAS_COLUMNSTORE: Final = (
    "select exists (select from timescaledb_information.hypertable_columnstore_settings"
    " where hypertable::text = 'trades')"
)


async def measure_storage(bench: Bench) -> list[Result]:
    """Measure both tables with their indexes, before and after moving all chunks.

    The trades are generated ones that a worker has committed. The candles are of a random walk: many millions
    of trades would be needed to fill the segments of the columnstore.
    """
    plant, count = bench.plant, bench.sizes.storage_trades
    await plant.empty()
    await publish_frames(plant.publisher(), await bench.frames.get(count, _SYMBOLS, _RATE))
    async with plant.processes("worker", TICKPLANT_ROLES="none"), plant.open_pool() as pool:
        await wait_until_committed(plant, pool, count)
    connection = await asyncpg.connect(plant.database_url)
    try:
        await _copy_candles(connection, bench.sizes.storage_weeks)
        results = [await _measure(connection, table, "row store") for table in _AIMS]
        if not await _has_columnstore(connection):
            bench.skip("columnstore", "the server has no TimescaleDB of the community edition")
            return results
        for table in _AIMS:
            await connection.execute(f"select compress_chunk(c) from show_chunks('{table}') c")  # noqa: S608 - a constant
            results.append(await _measure(connection, table, "columnstore"))
        return results
    finally:
        await connection.close()


async def _copy_candles(connection: asyncpg.Connection, weeks: int) -> None:
    """Put candles in place of those that the worker has committed."""
    await connection.execute("truncate closed_candles")
    await connection.copy_records_to_table(
        "closed_candles",
        records=((*part_values(candle), True, True) for candle in candle_walk(weeks)),
        columns=(*PART_COLUMNS, "closed", "complete"),
    )


async def _has_columnstore(connection: asyncpg.Connection) -> bool:
    try:
        return bool(await connection.fetchval(_HAS_COLUMNSTORE))
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return False


async def _measure(connection: asyncpg.Connection, table: str, store: str) -> Result:
    await connection.execute(f"vacuum {table}")
    rows = await connection.fetchval(f"select count(*) from {table}")  # noqa: S608 - a constant
    try:
        size = await connection.fetchval(f"select hypertable_size('{table}')")
    except asyncpg.UndefinedFunctionError:
        size = await connection.fetchval(f"select pg_total_relation_size('{table}')")
    aims = (Aim(_AIMS[table], at_most=True),) if store == "columnstore" else ()
    name = "trade" if table == "trades" else "closed candle"
    return Result(
        "storage", f"{name}, {store}", size / rows, f"bytes a {name}", aims=aims, notes=(f"{rows:,} {name}s",)
    )
