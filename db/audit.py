"""The audit: the server recomputes candles and ledger from the stored trades, by separate SQL.

It shares no code with the workers: trades are grouped minute by minute, and the result is compared with what
workers have stored. All queries read one snapshot, so workers may continue meanwhile.

Trades are removed by age, up to what the table `expired` records. Candles that open before that, and ids up
to the last one removed, are *not checkable*; they do not count as wrong.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import asyncpg
from msgspec import Struct

from db import audit_queries as queries
from tickplant.klines import Kline
from tickplant.market import SymbolId
from tickplant.times import to_datetime, to_us

DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
_A_MONDAY: Final = datetime(1970, 1, 5, tzinfo=UTC)
_Ids = list["asyncpg.Range[int]"]


class Difference(Struct, frozen=True):
    """A column of a row of `candles` that differs from the value recomputed from trades."""

    interval: str
    open_time: datetime
    kind: Literal["differs", "missing", "extra"]
    """`missing`: trades without a row; `extra`: a row without trades. Both are reported as `trade_count`."""
    column: str
    stored: str | None
    recomputed: str | None


class IdProblem(Struct, frozen=True):
    """A wrong range of trade ids."""

    kind: Literal["duplicate", "not stored", "not in the ledger", "no ledger"]
    """`not stored`: only the ledger has them; `not in the ledger`: only the table of trades has them."""
    first_trade_id: int
    last_trade_id: int
    """Inclusive."""


class SymbolAudit(Struct):
    """The result of the audit of one symbol."""

    symbol: SymbolId
    trades: int
    """Rows of trades read."""
    candles: int
    """Rows of candles compared."""
    not_checkable: int
    """Rows of candles whose trades were removed by age."""
    differences: list[Difference]
    ids: list[IdProblem]

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return not self.differences and not self.ids


class DayAudit(Struct, frozen=True):
    """The result of the audit of a symbol's day."""

    trades: int
    candles: int
    """Rows of candles compared."""
    differences: list[Difference]
    """Without weeks, which have the trades of other days, too."""
    duplicates: list[int]
    """Ids that more than one trade has."""

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return not self.differences and not self.duplicates


@asynccontextmanager
async def snapshot_on(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Read the database as of one moment, without blocking other sessions."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        yield


async def read_audit_symbols(connection: asyncpg.Connection) -> list[SymbolId]:
    """Return every symbol with rows in trades, candles or the ledger, in alphabetical order."""
    rows = await connection.fetch(queries.SYMBOLS)
    return [SymbolId(row["venue"], row["symbol"]) for row in rows]


async def audit_symbol(
    connection: asyncpg.Connection, symbol: SymbolId, on_progress: Callable[[int, int], None]
) -> SymbolAudit:
    """Compare a symbol's candles and ledger with its trades.

    It works week by week, since a week holds whole buckets of every interval. So it never sorts more than a
    day, and never groups more than a week.

    Args:
        connection: inside `snapshot_on`.
        symbol: to audit.
        on_progress: takes the number of days done and the total.
    """
    span = await _one_row(connection, queries.SPAN, *symbol)
    result = SymbolAudit(symbol, 0, span["checkable"], span["not_checkable"], [], [])
    seen: _Ids = []
    if span["first"] is not None:
        weeks = list(_slices(_A_MONDAY + (span["first"] - _A_MONDAY) // WEEK * WEEK, span["last"], WEEK))
        for number, (start, end) in enumerate(weeks):
            for day, (day_start, day_end) in enumerate(_slices(start, end - DAY, DAY)):
                checkable_start = max(day_start, span["horizon"] or day_start)
                seen = await _check_ids(connection, result, checkable_start, day_end, seen)
                on_progress(number * 7 + day, len(weeks) * 7)
            rows = await connection.fetch(queries.DIFFERENCES, *symbol, start, end, span["horizon"])
            result.differences += [Difference(*row) for row in rows]
            on_progress(number * 7 + 7, len(weeks) * 7)
    rows = await connection.fetch(queries.LEDGER, *symbol, seen, span["last_removed_id"])
    result.ids += [IdProblem(*row) for row in rows]
    return result


async def audit_day(connection: asyncpg.Connection, symbol: SymbolId, start: datetime) -> DayAudit:
    """Compare a day's candles of all intervals within it with its trades.

    Args:
        connection: inside `snapshot_on`.
        symbol: to audit.
        start: of the day, UTC.
    """
    ids = await _one_row(connection, queries.IDS, *symbol, start, start + DAY, [])
    rows = await connection.fetch(queries.DIFFERENCES, *symbol, start, start + DAY, None)
    candles = await connection.fetchval(queries.CANDLES_OF_DAY, *symbol, start, start + DAY)
    differing = [Difference(*row) for row in rows if row["interval"] != "1w"]
    duplicates = []
    if ids["trades"] > ids["distinct_ids"]:
        duplicates = await connection.fetch(queries.DUPLICATES, *symbol, start, start + DAY)
    return DayAudit(ids["trades"], candles, differing, [row["trade_id"] for row in duplicates])


async def read_minutes(
    connection: asyncpg.Connection, symbol: SymbolId, open_times_us: Sequence[int]
) -> dict[int, Kline]:
    """Return the stored candles of one minute that open at given times, by open time."""
    times = [to_datetime(time_us) for time_us in open_times_us]
    rows = await connection.fetch(queries.MINUTES, *symbol, times)
    return {to_us(row["open_time"]): Kline(to_us(row["open_time"]), *row[1:]) for row in rows}


async def read_lost_minutes(
    connection: asyncpg.Connection, symbol: SymbolId, start_us: int, end_us: int
) -> list[int]:
    """Return the minutes of which fewer trades are stored than their candle counts, though none by age.

    Args:
        connection: in a snapshot.
        symbol: of the trades.
        start_us: start of a minute.
        end_us: start of another, exclusive.
    """
    rows = await connection.fetch(queries.LOST_MINUTES, *symbol, to_datetime(start_us), to_datetime(end_us))
    return [to_us(row["open_time"]) for row in rows]


async def _check_ids(
    connection: asyncpg.Connection,
    result: SymbolAudit,
    start: datetime,
    end: datetime,
    seen: _Ids,
) -> _Ids:
    """Return the ids seen with a day's ids added; add duplicates, also of earlier days, to the result."""
    day = await _one_row(connection, queries.IDS, *result.symbol, start, end, seen)
    result.trades += day["trades"]
    if day["trades"] > day["distinct_ids"]:
        rows = await connection.fetch(queries.DUPLICATES, *result.symbol, start, end)
        result.ids += [IdProblem("duplicate", row["trade_id"], row["trade_id"]) for row in rows]
    result.ids += [IdProblem("duplicate", ids.lower, ids.upper - 1) for ids in day["again"]]
    union: _Ids = day["seen"]
    return union


async def _one_row(connection: asyncpg.Connection, query: str, *arguments: object) -> asyncpg.Record:
    row = await connection.fetchrow(query, *arguments)
    assert row is not None  # an aggregate
    return row


def _slices(start: datetime, last: datetime, length: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """Yield consecutive slices of time from `start` until one holds `last`."""
    while start <= last:
        yield start, start + length
        start += length
