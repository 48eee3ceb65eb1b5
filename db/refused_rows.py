"""Rows that the database refuses for what they hold, rather than for the state that it is in."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Final

import asyncpg

from db.pool import LEASE_LOST, OUTAGE, REFUSED
from tickplant.errors import UnstorableError
from tickplant.market import Trade
from tickplant.times import to_datetime

_MOST_REASON_CHARS: Final = 300

# Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
_CLASSES: Final = {
    "21": "cardinality violation",
    "22": "data exception",
    "23": "integrity constraint violation",
    "27": "triggered data change violation",
    "2F": "SQL routine exception",
    "38": "external routine exception",
    "39": "external routine invocation exception",
    "44": "with check option violation",
    "54": "program limit exceeded",
    "P0": "raised by a function, such as a trigger",
}
_OF_USERS: Final = "IJKLMNOQRSTUVWYZ"
"""First letters of classes that neither the standard nor PostgreSQL uses: functions may raise them."""


@asynccontextmanager
async def detecting_unstorable_rows() -> AsyncIterator[None]:
    """Turn an error that comes of the rows' content into `UnstorableError`; leave others as they are."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if not _is_of_rows(error):
            raise
        raise UnstorableError(_reason_of(error)) from error


async def find_unstorable(pool: asyncpg.Pool, trades: Sequence[Trade]) -> dict[int, str]:
    """Return the places of trades whose rows are refused one by one, with the reason; nothing is written."""
    found: dict[int, str] = {}
    async with pool.acquire() as connection:
        trial = connection.transaction()
        await trial.start()
        try:
            await connection.execute("set constraints all immediate")
            for place, trade in enumerate(trades):
                try:
                    async with detecting_unstorable_rows(), connection.transaction():
                        await connection.execute(_INSERT, *_row(trade))
                except UnstorableError as error:
                    found[place] = str(error)
        finally:
            await trial.rollback()
    return found


_INSERT: Final = """
insert into trades (venue, symbol, trade_id, price, size, side, event_time, ingest_time)
values ($1, $2, $3, $4, $5, $6, $7, $8)
"""


def _row(trade: Trade) -> tuple[object, ...]:
    times = to_datetime(trade.event_time_us), to_datetime(trade.ingest_time_us)
    numbers = Decimal(trade.price), Decimal(trade.size)
    return (trade.venue, trade.symbol, trade.trade_id, *numbers, trade.side, *times)


def _is_of_rows(error: asyncpg.PostgresError) -> bool:
    code = error.sqlstate or ""
    if isinstance(error, (*OUTAGE, *REFUSED)) or code == LEASE_LOST:
        return False
    return code[:2] in _CLASSES or code[:1] in tuple(_OF_USERS)


def _reason_of(error: asyncpg.PostgresError) -> str:
    message = error.args[0] if error.args else type(error).__name__  # without details, which show the row
    return f"{message!s:.{_MOST_REASON_CHARS}} (SQLSTATE {error.sqlstate})"
