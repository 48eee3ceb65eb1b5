"""Statements on many rows at once, which go to the server as columns for `unnest`."""

from collections.abc import Iterable
from typing import Any

import asyncpg


def columns_of(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Turn rows into columns; there are none where there are no rows."""
    return [list(column) for column in zip(*rows, strict=True)]


async def execute_rows(
    connection: asyncpg.Connection, query: str, rows: Iterable[tuple[Any, ...]], *others: Any
) -> None:
    """Run a statement that takes other values first, and then rows as columns; no rows are no work."""
    if columns := columns_of(rows):
        await connection.execute(query, *others, *columns)
