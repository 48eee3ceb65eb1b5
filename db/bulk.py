"""Statements on many rows, which are sent as columns for `unnest`."""

from collections.abc import Iterable
from typing import Any

import asyncpg


def columns_of(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Return the columns of rows; empty where there are no rows."""
    return [list(column) for column in zip(*rows, strict=True)]


async def execute_rows(
    connection: asyncpg.Connection, query: str, rows: Iterable[tuple[Any, ...]], *arguments: Any
) -> None:
    """Run a statement that takes arguments first, and then the columns of rows; without rows, do nothing."""
    if columns := columns_of(rows):
        await connection.execute(query, *arguments, *columns)
