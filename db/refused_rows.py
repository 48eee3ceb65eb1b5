"""Detects rows that the database rejects because of their content, rather than because of its state."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Final

import asyncpg

from db.pool import LEASE_LOST, OUTAGE, REFUSED
from tickplant.errors import UnstorableError
from tickplant.market import Trade
from tickplant.times import to_datetime

_MAX_REASON_CHARS: Final = 300

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
_USER_CLASSES: Final = "IJKLMNOQRSTUVWYZ"
"""First letters of classes that neither the standard nor PostgreSQL uses; user functions may raise them."""


@asynccontextmanager
async def detecting_unstorable_rows() -> AsyncIterator[None]:
    """Turn errors caused by the rows' content into `UnstorableError`; other errors pass unchanged."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if not _is_caused_by_rows(error):
            raise
        raise UnstorableError(_reason_of(error)) from error


async def find_unstorable(pool: asyncpg.Pool, trades: Sequence[Trade]) -> dict[int, str]:
    """Try to store each trade, and return the indexes of those rejected, with the reason; write nothing."""
    rejected: dict[int, str] = {}
    async with pool.acquire() as connection:
        trial = connection.transaction()
        await trial.start()
        try:
            await connection.execute("set constraints all immediate")
            for index, trade in enumerate(trades):
                try:
                    async with detecting_unstorable_rows(), connection.transaction():
                        await connection.execute(_INSERT, *_row(trade))
                except UnstorableError as error:
                    rejected[index] = str(error)
        finally:
            await trial.rollback()
    return rejected


_INSERT: Final = """
insert into trades (venue, symbol, trade_id, price, size, side, event_time, ingest_time)
values ($1, $2, $3, $4, $5, $6, $7, $8)
"""


def _row(trade: Trade) -> tuple[object, ...]:
    times = to_datetime(trade.event_time_us), to_datetime(trade.ingest_time_us)
    numbers = Decimal(trade.price), Decimal(trade.size)
    return (trade.venue, trade.symbol, trade.trade_id, *numbers, trade.side, *times)


def _is_caused_by_rows(error: asyncpg.PostgresError) -> bool:
    code = error.sqlstate or ""
    if isinstance(error, (*OUTAGE, *REFUSED)) or code == LEASE_LOST:
        return False
    return code[:2] in _CLASSES or code[:1] in tuple(_USER_CLASSES)


def _reason_of(error: asyncpg.PostgresError) -> str:
    message = (
        error.args[0] if error.args else type(error).__name__
    )  # without the details, which contain the row
    return f"{message!s:.{_MAX_REASON_CHARS}} (SQLSTATE {error.sqlstate})"
