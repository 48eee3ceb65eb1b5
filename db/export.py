"""Exports rows as text, from which Parquet and Arrow files are made, too; in constant memory.

The server formats each line itself (COPY): numbers exactly as they are stored, in plain notation, and times
in RFC 3339, UTC.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, Literal

import asyncpg
from msgspec import Struct

from db.pool import OUTAGE, connect, database_error
from db.provenance import read_database_source
from db.schema import check_schema
from db.widths import ColumnWidth, read_widths
from tickplant.errors import FatalError
from tickplant.intervals import CANDLE_INTERVALS
from tickplant.market import SymbolId

ExportFormat = Literal["csv", "jsonl"]
Write = Callable[[bytes], Coroutine[Any, Any, None]]
"""Takes whole lines; back-pressure applies, as the server is read no faster than it returns."""

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
_ALL: Final = "all_candles($1, $2, $5, $3, $4) as candles"

_CANDLES: Final = f"""
    select venue, symbol, "interval", to_char(open_time, '{_SECONDS}') as open_time,
        open::text, high::text, low::text, close::text, volume::text, quote_volume::text, trade_count,
        to_char(first_event_time, '{_MICROSECONDS}') as first_event_time, first_trade_id,
        to_char(last_event_time, '{_MICROSECONDS}') as last_event_time, last_trade_id,
        revision, {{closed}}, {{complete}}, taker_buy_volume::text,
        taker_buy_quote_volume::text{{origin}}{{source}}
    from {{candles}}
    order by candles.open_time
"""  # noqa: S608 - constants only


class ExportSelection(Struct, frozen=True, kw_only=True):
    """The rows to export."""

    symbol: SymbolId
    interval: str | None
    """The candles' interval; None for trades."""
    venue_too: bool = False
    """Whether the venue's own candles are among them, with a column `origin` that says which are."""
    start: datetime
    """Inclusive."""
    end: datetime
    """Exclusive."""


class RowShape(Struct, frozen=True, kw_only=True):
    """What the columns of exported rows depend on."""

    widths: dict[str, ColumnWidth]
    """Of the decimals, by column."""
    has_source: bool
    """Whether the last column names the source of the trades."""


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
            f"select count(*) from {_candles(selection, selection.interval)}",  # noqa: S608 - constants only
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


async def read_span(
    connection: asyncpg.Connection, selection: ExportSelection
) -> tuple[datetime, datetime] | None:
    """Return the times of the first and the last row of a selection; None where it has no rows."""
    column = "event_time" if selection.interval is None else "open_time"
    table = "trades" if selection.interval is None else _candles(selection, selection.interval)
    where = "where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4"
    first, last = [
        await connection.fetchval(
            f"select {column} from {table} {where if selection.interval is None else ''}"  # noqa: S608
            f" order by {column} {order} limit 1",
            *_arguments(selection),
        )
        for order in ("asc", "desc")
    ]
    return None if first is None else (first, last)


async def read_shape(
    connection: asyncpg.Connection, selection: ExportSelection, decimals: Sequence[str]
) -> RowShape:
    """Return what the columns of the rows of a selection depend on.

    Args:
        connection: from `open_reader`.
        selection: the rows.
        decimals: the columns whose widths are needed.
    """
    source = await _source_column(connection)
    query = _lines(selection, source)
    widths = await read_widths(connection, query, _arguments(selection), decimals)
    return RowShape(widths=widths, has_source=bool(source))


async def export_rows(
    connection: asyncpg.Connection,
    selection: ExportSelection,
    output_format: ExportFormat,
    write: Write,
    *,
    header: bool = True,
) -> int:
    """Write the rows of a selection, oldest first, one line each.

    Args:
        connection: from `open_reader`; unusable afterwards if `write` raised.
        selection: the rows.
        output_format: `csv` with a header line, or `jsonl` with decimals as strings. If trades are not
            of a live stream, a last column, `source`, names their source.
        write: takes the lines.
        header: whether CSV starts with the names of the columns.

    Returns:
        The number of rows.
    """
    source = await _source_column(connection)
    if output_format == "csv":
        return await _copy(connection, _lines(selection, source), selection, write, header=header)
    query = _query(selection, source, closed="closed", complete="complete")
    # JSON has no raw control characters: with two of them as quote and delimiter, COPY escapes nothing.
    return await _copy(
        connection,
        f"select row_to_json(line) from ({query}) as line",  # noqa: S608 - constants only
        selection,
        write,
        quote="\x01",
        delimiter="\x02",
    )


async def _copy(
    connection: asyncpg.Connection, query: str, selection: ExportSelection, write: Write, **options: Any
) -> int:
    # Read along the index in this order instead of sorting everything before the first line.
    await connection.execute("set enable_sort = off")
    status = await connection.copy_from_query(
        query, *_arguments(selection), output=write, format="csv", **options
    )
    return int(status.split()[-1])


async def _source_column(connection: asyncpg.Connection) -> str:
    """Return the SQL of the last column, which is for trades that are not of a live stream."""
    source = await read_database_source(connection)
    return "" if source in (None, "live") else f", '{source}'::text as source"


def _lines(selection: ExportSelection, source: str) -> str:
    return _query(selection, source, closed="closed::text", complete="complete::text")


def _query(selection: ExportSelection, source: str, *, closed: str, complete: str) -> str:
    if selection.interval is None:
        return _TRADES.format(source=source)
    return _CANDLES.format(
        closed=closed,
        complete=complete,
        origin=", origin" if selection.venue_too else "",
        source=source,
        candles=_candles(selection, selection.interval),
    )


def _candles(selection: ExportSelection, interval: str) -> str:
    """Return the SQL of the candles of a selection."""
    if selection.venue_too:
        return _ALL
    return _MERGED if CANDLE_INTERVALS[interval].merged_from else _STORED


def _arguments(selection: ExportSelection) -> list[object]:
    where: list[object] = [*selection.symbol, selection.start, selection.end]
    return where if selection.interval is None else [*where, selection.interval]
