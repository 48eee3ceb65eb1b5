"""The newest signals and firings, up to the last transaction whose results have been published."""

from typing import Final

import asyncpg

from db.alerts.firings import firing_of
from db.signals import SIGNAL_COLUMNS, signal_of
from tickplant.derived import Firing, Signal
from tickplant.market import SymbolId

EntryKey = tuple[int, int]
"""A stream entry's id: milliseconds and sequence."""

_PUBLISHED: Final = (
    "venue = $1 and symbol = $2 and ($3::int8 is null"
    " or (split_part(entry_id, '-', 1)::int8, split_part(entry_id, '-', 2)::int8) <= ($3, $4::int8))"
)


async def read_published_signals(
    connection: asyncpg.Connection, symbol: SymbolId, *, published: EntryKey | None, limit: int
) -> list[Signal]:
    """Return a symbol's newest signals, oldest first.

    Args:
        connection: to the database.
        symbol: whose.
        published: the last entry of the last transaction whose signals have been published; None if unknown.
        limit: the most signals.
    """
    rows = await connection.fetch(
        f"select {SIGNAL_COLUMNS} from signals where {_PUBLISHED}"  # noqa: S608 - constants only
        " order by event_time desc, strategy desc, number desc limit $5",
        *symbol,
        *(published or (None, None)),
        limit,
    )
    return [signal_of(row) for row in reversed(rows)]


async def read_published_firings(
    connection: asyncpg.Connection, symbol: SymbolId, *, published: EntryKey | None, limit: int
) -> list[Firing]:
    """Return the newest firings of a symbol's alerts, oldest first; see `read_published_signals`."""
    rows = await connection.fetch(
        f"select * from firings where {_PUBLISHED}"  # noqa: S608 - a constant
        " order by event_time desc, alert_id desc, number desc limit $5",
        *symbol,
        *(published or (None, None)),
        limit,
    )
    return [firing_of(row) for row in reversed(rows)]
