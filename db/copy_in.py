"""COPY into a table, which ends with an error when the connection is lost.

The driver waits without limit for the server to read on, even if the server is gone by then: its protocol's
`connection_lost` does not wake `copy_in` (asyncpg 0.32). What is written in one piece waits for nothing but
the server's answer.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Literal

import asyncpg

Format = Literal["text", "csv", "binary"]

_LOOK_S: Final = 0.5
"""How often the connection is looked at while blocks are copied."""


async def copy_rows(
    connection: asyncpg.Connection, table: str, rows: bytes, *, columns: Sequence[str], format_: Format
) -> None:
    """Copy rows that are in memory.

    Raises:
        PostgresError: or one of `db.pool.OUTAGE`, if the connection is lost.
    """
    view: Any = memoryview(rows)  # the driver takes bytes for a path
    await connection.copy_to_table(table, source=view, columns=columns, format=format_)


async def copy_blocks(
    connection: asyncpg.Connection, table: str, blocks: AsyncIterator[bytes], *, schema: str | None = None
) -> None:
    """Copy blocks of CSV without a header, in which nothing stands for null.

    Raises:
        PostgresError: or one of `db.pool.OUTAGE`, if the connection is lost.
    """
    copying = asyncio.create_task(
        connection.copy_to_table(table, schema_name=schema, source=blocks, format="csv", null="")
    )
    try:
        while not copying.done():
            await asyncio.wait([copying], timeout=_LOOK_S)
            if connection.is_closed() and not copying.done():
                raise asyncpg.ConnectionDoesNotExistError("the connection was lost while rows were copied")
    finally:
        if not copying.done():
            copying.cancel()
            await asyncio.gather(copying, return_exceptions=True)
    await copying
