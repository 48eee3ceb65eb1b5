"""The ledger: which trade ids of each symbol are stored, and up to which venue time."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import asyncpg

from db.bulk import execute_rows
from tickplant.times import to_datetime, to_us


class LedgerRow(NamedTuple):
    """A row of the ledger table."""

    venue: str
    symbol: str
    first_trade_id: int
    last_trade_id: int
    missing: list[tuple[int, int]]
    """Inclusive ranges, ascending; so is `void`."""
    void: list[tuple[int, int]]
    numbered: bool
    watermark_us: int
    last_event_time_us: int | None = None
    """Event time of the newest trade; read only."""
    last_price: str | None = None
    """Price of the newest trade that is not an outlier; read only."""


async def read_ledger(pool: asyncpg.Pool, partition: int) -> list[LedgerRow]:
    """Return the ledger of a partition's symbols."""
    rows = await pool.fetch(
        "select l.*, (select max(event_time) from trades t where t.venue = l.venue and t.symbol = l.symbol)"
        " as last_event_time, (select price from ("
        " select trade_id, price from trades t where t.venue = l.venue and t.symbol = l.symbol"
        " and not exists (select from outliers o where o.venue = t.venue and o.symbol = t.symbol"
        " and o.trade_id = t.trade_id and not o.confirmed) order by event_time desc limit 100"
        " ) newest order by trade_id desc limit 1)"
        " as last_price from ledger l where partition = $1 order by venue, symbol",
        partition,
    )
    return [
        LedgerRow(
            row["venue"],
            row["symbol"],
            row["first_trade_id"],
            row["last_trade_id"],
            [(part.lower, part.upper - 1) for part in row["missing"]],
            [(part.lower, part.upper - 1) for part in row["void"]],
            row["numbered"],
            to_us(row["watermark"]),
            to_us(row["last_event_time"]) if row["last_event_time"] else None,
            None if row["last_price"] is None else f"{row['last_price']:f}",
        )
        for row in rows
    ]


async def write_ledger(connection: asyncpg.Connection, rows: Sequence[LedgerRow], partition: int) -> None:
    """Insert or replace rows, inside the worker's transaction."""
    await execute_rows(connection, _WRITE, _values(rows), partition)


_WRITE: Final = """
insert into ledger (
    partition, venue, symbol, first_trade_id, last_trade_id, missing, void, numbered, watermark
)
select $1::int, venue, symbol, first_trade_id, last_trade_id, missing::int8multirange, void::int8multirange,
    numbered, watermark
from unnest(
    $2::text[], $3::text[], $4::int8[], $5::int8[], $6::text[], $7::text[], $8::bool[], $9::timestamptz[]
) as r (venue, symbol, first_trade_id, last_trade_id, missing, void, numbered, watermark)
on conflict (venue, symbol) do update set
    first_trade_id = excluded.first_trade_id,
    last_trade_id = excluded.last_trade_id,
    missing = excluded.missing,
    void = excluded.void,
    watermark = excluded.watermark
"""


def _values(rows: Sequence[LedgerRow]) -> list[tuple[Any, ...]]:
    return [
        (
            row.venue,
            row.symbol,
            row.first_trade_id,
            row.last_trade_id,
            _multirange(row.missing),
            _multirange(row.void),
            row.numbered,
            to_datetime(row.watermark_us),
        )
        for row in rows
    ]


def _multirange(ranges: Sequence[tuple[int, int]]) -> str:
    return "{" + ",".join(f"[{low},{high}]" for low, high in ranges) + "}"
