"""Exports rows as text, in constant memory.

The server formats each line itself (COPY): numbers exactly as they are stored, in plain notation, and times
in RFC 3339, UTC.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, Literal

import asyncpg
from msgspec import Struct

from db.pool import OUTAGE, connect, database_error
from db.provenance import read_database_source
from db.schema import check_schema
from tickplant.errors import FatalError
from tickplant.intervals import CANDLE_INTERVALS
from tickplant.market import SymbolId

ExportFormat = Literal["csv", "jsonl"]

_MICROSECONDS: Final = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
_SECONDS: Final = 'YYYY-MM-DD"T"HH24:MI:SS"Z"'

_TRADES: Final = f"""
    select venue, symbol, trade_id, price::text, size::text, side,
        to_char(event_time, '{_MICROSECONDS}') as event_time,
        to_char(ingest_time, '{_MICROSECONDS}') as ingest_time{{source}}
    from trades
    where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4
    order by trades.event_time, trade_id
"""  # noqa: S608 - constants only

_STORED: Final = (
    '(select * from candles where venue = $1 and symbol = $2 and "interval" = $5'
    " and open_time >= $3 and open_time < $4) as candles"
)
_MERGED: Final = "merged_candles($1, $2, $5, $3, $4) as candles"

_CANDLES: Final = f"""
    select venue, symbol, "interval", to_char(open_time, '{_SECONDS}') as open_time,
        open::text, high::text, low::text, close::text, volume::text, quote_volume::text, trade_count,
        to_char(first_event_time, '{_MICROSECONDS}') as first_event_time, first_trade_id,
        to_char(last_event_time, '{_MICROSECONDS}') as last_event_time, last_trade_id,
        revision, {{closed}}, {{complete}}, taker_buy_volume::text, taker_buy_quote_volume::text{{source}}
    from {{candles}}
    order by candles.open_time
"""  # noqa: S608 - constants only


class ExportSelection(Struct, frozen=True, kw_only=True):
    """The rows to export."""

    symbol: SymbolId
    interval: str | None
    """The candles' interval; None for trades."""
    start: datetime
    """Inclusive."""
    end: datetime
    """Exclusive."""


@asynccontextmanager
async def open_reader(url: str, *, application: str) -> AsyncIterator[asyncpg.Connection]:
    """Open a connection for long reads, with more memory for them.

    Args:
        url: postgresql:// address.
        application: shown in pg_stat_activity.

    Raises:
        FatalError: the database can't be reached, the connection is lost, or the schema is another version's.
    """
    try:
        connection = await connect(url, application=application, work_mem="64MB")
    except (*OUTAGE, asyncpg.PostgresError) as error:
        raise database_error(error) from error
    try:
        await check_schema(connection)
        yield connection
    except (
        asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError,
        ConnectionResetError,
    ) as error:
        raise FatalError(f"the connection to the database was lost: {error}") from error
    finally:
        connection.terminate()  # there is no transaction to finish


async def estimate_rows(connection: asyncpg.Connection, selection: ExportSelection) -> int:
    """Estimate how many rows a selection has, quickly: candles are counted, trades estimated by their ids."""
    if selection.interval is not None:
        count: int = await connection.fetchval(
            f"select count(*) from {_candles(selection.interval)}",  # noqa: S608 - constants only
            *_arguments(selection),
        )
        return count
    ids = """
        select trade_id from trades
        where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4
        order by event_time {0}, trade_id {0} limit 1
    """
    first, last = [
        await connection.fetchval(ids.format(order), *_arguments(selection)) for order in ("asc", "desc")
    ]
    return 0 if first is None else max(1, last - first + 1)


async def export_rows(
    connection: asyncpg.Connection,
    selection: ExportSelection,
    output_format: ExportFormat,
    write: Callable[[bytes], Coroutine[Any, Any, None]],
    *,
    header: bool = True,
) -> int:
    """Write the rows of a selection, oldest first, one line each.

    Args:
        connection: from `open_reader`; unusable afterwards if `write` raised.
        selection: the rows.
        output_format: `csv` with a header line, or `jsonl` with decimals as strings. If trades are not
            of a live stream, a last column, `source`, names their source.
        write: takes whole lines; back-pressure applies, as the server is read no faster than it returns.
        header: whether CSV starts with the names of the columns.

    Returns:
        The number of rows.
    """
    # Read along the index in this order instead of sorting everything before the first line.
    await connection.execute("set enable_sort = off")
    query = _TRADES if selection.interval is None else _CANDLES
    candles = "" if selection.interval is None else _candles(selection.interval)
    source = await read_database_source(connection)
    column = "" if source in (None, "live") else f", '{source}'::text as source"
    if output_format == "csv":
        query = query.format(closed="closed::text", complete="complete::text", source=column, candles=candles)
        status = await connection.copy_from_query(
            query, *_arguments(selection), output=write, format="csv", header=header
        )
    else:
        query = query.format(closed="closed", complete="complete", source=column, candles=candles)
        # JSON has no raw control characters: with two of them as quote and delimiter, COPY escapes nothing.
        status = await connection.copy_from_query(
            f"select row_to_json(line) from ({query}) as line",  # noqa: S608 - constants only
            *_arguments(selection),
            output=write,
            format="csv",
            quote="\x01",
            delimiter="\x02",
        )
    return int(status.split()[-1])


def _candles(interval: str) -> str:
    """Return the SQL of the candles of a selection."""
    return _MERGED if CANDLE_INTERVALS[interval].merged_from else _STORED


def _arguments(selection: ExportSelection) -> list[object]:
    where: list[object] = [*selection.symbol, selection.start, selection.end]
    return where if selection.interval is None else [*where, selection.interval]
