"""Pages of lists in order of time, which run forward from a moment or end with the newest row."""

from typing import Any

import asyncpg


async def fetch_page(
    connection: asyncpg.Connection, query: str, *arguments: Any, newest: bool
) -> list[asyncpg.Record]:
    """Return rows in ascending order.

    Args:
        connection: to the database.
        query: ends with a limit, and has `{order}` in place of each direction of its order.
        arguments: of the query.
        newest: whether the limit leaves out the oldest rows rather than the newest.
    """
    rows = await connection.fetch(query.format(order="desc" if newest else "asc"), *arguments)
    return rows[::-1] if newest else rows
