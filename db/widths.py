"""How wide the decimals of some rows are."""

from collections.abc import Sequence

import asyncpg
from msgspec import Struct


class ColumnWidth(Struct, frozen=True):
    """The greatest number of digits in a column."""

    whole: int
    """Before the point."""
    places: int
    """After it."""

    def union(self, other: "ColumnWidth") -> "ColumnWidth":
        """Return the width that both need."""
        return ColumnWidth(max(self.whole, other.whole), max(self.places, other.places))


async def read_widths(
    connection: asyncpg.Connection, query: str, arguments: Sequence[object], decimals: Sequence[str]
) -> dict[str, ColumnWidth]:
    """Return how wide some columns of a query are.

    Args:
        connection: in the snapshot that the rows are read in.
        query: of the rows; our own SQL.
        arguments: of the query.
        decimals: names of columns of decimals, or of their text.
    """
    measures = ", ".join(
        f"coalesce(max(scale({name}::numeric)), 0),"
        f" coalesce(max(length(trunc(abs({name}::numeric))::text)), 1)"
        for name in decimals
    )
    row = await connection.fetchrow(f"select {measures} from ({query}) as r", *arguments)  # noqa: S608
    assert row is not None  # an aggregate
    places, whole = list(row)[::2], list(row)[1::2]
    return {name: ColumnWidth(whole[number], places[number]) for number, name in enumerate(decimals)}
