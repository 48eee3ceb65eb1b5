"""Trades into their table: row by row, or, many of a symbol at once, straight into the columnstore.

A thousand trades of a symbol make one compressed batch there: some 10 bytes a trade instead of 140, at about
the same speed. It is the same COPY in the same transaction, and so as exact as any other. Whether the rows
are sorted TimescaleDB finds out itself: told so wrongly, it would answer wrongly.

Documentation: https://docs.tigerdata.com/use-timescale/latest/ingest-data/
"""

from io import BytesIO
from typing import Final

import asyncpg

TRADE_COLUMNS: Final = (
    "venue",
    "symbol",
    "trade_id",
    "price",
    "size",
    "side",
    "event_time",
    "ingest_time",
)

LARGE: Final = 500
"""Trades of a symbol, on average, from which on they make good batches: half of a full one."""

# Without TimescaleDB, or one of this kind, there is no such setting, and nothing happens.
_TURN_ON: Final = """
select set_config('timescaledb.enable_direct_compress_copy', 'on', true)
where current_setting('timescaledb.enable_direct_compress_copy', true) is not null
    and current_setting('timescaledb.license', true) = 'timescale'
"""

_LIFT: Final = """
select set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true)
where current_setting('timescaledb.max_tuples_decompressed_per_dml_transaction', true) is not null
"""


async def copy_trades(
    connection: asyncpg.Connection, rows: bytes, *, trade_count: int, symbol_count: int
) -> None:
    """Write trades.

    Args:
        connection: in a transaction.
        rows: COPY text of `TRADE_COLUMNS`.
        trade_count: how many.
        symbol_count: of how many symbols.
    """
    if trade_count >= LARGE * symbol_count:
        await connection.execute(_TURN_ON)
    await connection.copy_to_table("trades", source=BytesIO(rows), columns=TRADE_COLUMNS, format="text")


async def allow_changes(connection: asyncpg.Connection) -> None:
    """Let the rest of a transaction change as many trades as it likes that lie in the columnstore."""
    await connection.execute(_LIFT)
