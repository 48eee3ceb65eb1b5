"""The worker's transaction: trades, ledger, candles and offset, all or nothing, fenced at the end."""

from collections.abc import Sequence
from datetime import timedelta
from io import BytesIO
from typing import Any, Final, NamedTuple, Protocol

import asyncpg

from db.bulk import columns_of, execute_rows
from db.candles import candle_of
from db.contradictions import find_contradictions
from db.gaps import write_gaps
from db.leases import Lease
from db.outliers import Outlier, write_outliers
from db.pool import transaction
from db.refused_rows import detecting_unstorable_rows
from tickplant.intervals import INTERVALS
from tickplant.market import Candle, Gap, Trade
from tickplant.times import to_datetime, to_us
from tickplant.wire import LiveUpdate, Verdict

TRADE_COLUMNS: Final = (
    "venue",
    "symbol",
    "trade_id",
    "price",
    "size",
    "side",
    "event_time",
    "ingest_time",
)


class LedgerRow(NamedTuple):
    """A row of the ledger table."""

    venue: str
    symbol: str
    first_trade_id: int
    last_trade_id: int
    missing: list[tuple[int, int]]
    """Inclusive ranges, ascending."""
    void: list[tuple[int, int]]
    """Likewise."""
    numbered: bool
    watermark_us: int
    last_event_time_us: int | None = None
    """Event time of the newest trade; read, never written."""
    last_price: str | None = None
    """Price of the newest trade but outliers; likewise."""


class DerivedRows(Protocol):
    """What a role stores beside trades and candles."""

    async def write(self, connection: asyncpg.Connection, entry_id: str) -> None:
        """Store it, inside the worker's transaction, after the candles and before the fence.

        Args:
            connection: in the transaction.
            entry_id: the last stream entry that the transaction includes.
        """


class CommitBatch(NamedTuple):
    """What one transaction writes."""

    entry_id: str
    """The last stream entry that the batch includes."""
    trade_rows: bytes
    """COPY text of `TRADE_COLUMNS`."""
    ledger: Sequence[LedgerRow]
    candles: Sequence[Candle]
    """Parts to be merged into the rows, at most one a row."""
    settle: Sequence[tuple[str, str]]
    """Venue and symbol of those whose candles may have closed or become complete."""
    gaps: Sequence[tuple[str, str, int]]
    """Venue, symbol and watermark before the change of those whose missing ids changed."""
    verdicts: Sequence[Verdict]
    """What has been learnt of missing ids, in order."""
    trade_count: int
    """Trades in `trade_rows`."""
    duplicates: int
    """Trades that were left out, being stored already."""
    repeated: Sequence[Trade] = ()
    """Some of these, to be compared with what is stored."""
    derived: Sequence[DerivedRows] = ()
    """What follows from trades and candles."""
    told: LiveUpdate = LiveUpdate()
    """What to tell others of it, once it is committed."""
    outliers: Sequence[Outlier] = ()
    """Trades whose price is far from that of the one before, and what became of them."""


class CommitResult(NamedTuple):
    """What a transaction has done."""

    candles: list[Candle]
    """Candles, in full, that closed, became complete, or changed after they had closed."""
    gaps: list[Gap]
    """Gaps that opened or changed."""
    open_gaps: dict[tuple[str, str], list[Gap]]
    """All gaps that are not healed, of every venue and symbol of which one changed."""
    contradictions: list[Trade]
    """Repeated trades that differ from what is stored under their ids."""


async def commit(
    pool: asyncpg.Pool, lease: Lease, expected_entry_id: str, batch: CommitBatch
) -> CommitResult:
    """Write a batch in one transaction.

    Args:
        pool: connections.
        lease: under which the batch was computed.
        expected_entry_id: the last committed entry.
        batch: what to write.

    Raises:
        LeaseLostError: another owner has taken the partition; nothing was written.
        UnstorableError: the database refuses rows for what they hold; nothing was written.
    """
    async with detecting_unstorable_rows(), transaction(pool) as connection:
        if batch.trade_rows:
            await connection.copy_to_table(
                "trades", source=BytesIO(batch.trade_rows), columns=TRADE_COLUMNS, format="text"
            )
        await execute_rows(connection, _WRITE_LEDGER, _ledger_values(batch.ledger), lease.partition)
        changed: dict[tuple[Any, ...], Candle] = {}
        if batch.candles:
            rows = await connection.fetch(_MERGE_CANDLES, *columns_of(map(_candle_values, batch.candles)))
            changed |= _by_key(rows)
        if batch.settle:
            rows = await connection.fetch(
                _SETTLE_CANDLES,
                *columns_of(batch.settle),
                list(INTERVALS),
                [timedelta(microseconds=length) for length in INTERVALS.values()],
            )
            changed |= _by_key(rows)
        gaps, open_gaps = await write_gaps(connection, batch.gaps, batch.verdicts)
        await write_outliers(connection, batch.outliers)
        contradictions = await find_contradictions(connection, batch.repeated)
        for derived in batch.derived:
            await derived.write(connection, batch.entry_id)
        await connection.execute(
            "select advance($1, $2, $3, $4, $5, $6)",
            lease.role,
            lease.partition,
            lease.owner,
            lease.epoch,
            expected_entry_id,
            batch.entry_id,
        )
    return CommitResult(list(changed.values()), gaps, open_gaps, contradictions)


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


async def read_open_candles(pool: asyncpg.Pool, partition: int) -> list[Candle]:
    """Return the candles of a partition's symbols that have not closed."""
    rows = await pool.fetch(
        "select c.* from ledger l join candles c on c.venue = l.venue and c.symbol = l.symbol"
        " where l.partition = $1 and not c.closed",
        partition,
    )
    return list(_by_key(rows).values())


async def read_last_closed(pool: asyncpg.Pool, partition: int) -> list[Candle]:
    """Return the newest closed candle of each interval of a partition's symbols."""
    rows = await pool.fetch(
        "select c.* from ledger l cross join unnest($2::text[]) as i (name) cross join lateral ("
        " select * from candles where venue = l.venue and symbol = l.symbol"
        ' and "interval" = i.name and closed order by open_time desc limit 1'
        ") c where l.partition = $1",
        partition,
        list(INTERVALS),
    )
    return list(_by_key(rows).values())


_WRITE_LEDGER: Final = """
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

# The same rule as tickplant.market.merge. Only rows that had closed before come back.
_MERGE_CANDLES: Final = """
with merged as (
    insert into candles as c (
        venue, symbol, "interval", open_time, open, high, low, close, volume, quote_volume, trade_count,
        first_event_time, first_trade_id, last_event_time, last_trade_id, revision, closed, complete
    )
    select *, false, false
    from unnest(
        $1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::numeric[], $6::numeric[], $7::numeric[],
        $8::numeric[], $9::numeric[], $10::numeric[], $11::int8[], $12::timestamptz[], $13::int8[],
        $14::timestamptz[], $15::int8[], $16::int8[]
    )
    on conflict (venue, symbol, "interval", open_time) do update set
        open = case when (excluded.first_event_time, excluded.first_trade_id)
            < (c.first_event_time, c.first_trade_id) then excluded.open else c.open end,
        high = greatest(c.high, excluded.high),
        low = least(c.low, excluded.low),
        close = case when (excluded.last_event_time, excluded.last_trade_id)
            > (c.last_event_time, c.last_trade_id) then excluded.close else c.close end,
        volume = c.volume + excluded.volume,
        quote_volume = c.quote_volume + excluded.quote_volume,
        trade_count = c.trade_count + excluded.trade_count,
        first_trade_id = case when (excluded.first_event_time, excluded.first_trade_id)
            < (c.first_event_time, c.first_trade_id) then excluded.first_trade_id else c.first_trade_id end,
        first_event_time = least(c.first_event_time, excluded.first_event_time),
        last_trade_id = case when (excluded.last_event_time, excluded.last_trade_id)
            > (c.last_event_time, c.last_trade_id) then excluded.last_trade_id else c.last_trade_id end,
        last_event_time = greatest(c.last_event_time, excluded.last_event_time),
        revision = c.revision + excluded.revision
    returning c.*
)
select * from merged where closed
"""

# A candle closes when the venue's time has passed it, and is complete when ids prove it. Inserted over itself
# rather than updated: an update by a join would unpack all of the columnstore, this only what changes.
_SETTLE_CANDLES: Final = """
insert into candles as c (
    venue, symbol, "interval", open_time, open, high, low, close, volume, quote_volume, trade_count,
    first_event_time, first_trade_id, last_event_time, last_trade_id, revision, closed, complete
)
select c.venue, c.symbol, c."interval", c.open_time, c.open, c.high, c.low, c.close, c.volume, c.quote_volume,
    c.trade_count, c.first_event_time, c.first_trade_id, c.last_event_time, c.last_trade_id, c.revision,
    true, s.complete
from unnest($1::text[], $2::text[]) as r (venue, symbol)
join ledger l on l.venue = r.venue and l.symbol = r.symbol
join candles c on c.venue = l.venue and c.symbol = l.symbol and (not c.closed or not c.complete)
join unnest($3::text[], $4::interval[]) as i (name, length) on i.name = c."interval"
cross join lateral (select is_complete(l, c.first_trade_id, c.last_trade_id) as complete) s
where c.open_time + i.length <= l.watermark and (not c.closed or s.complete)
on conflict (venue, symbol, "interval", open_time) do update set closed = true, complete = excluded.complete
returning c.*
"""


def _ledger_values(rows: Sequence[LedgerRow]) -> list[tuple[Any, ...]]:
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


def _candle_values(candle: Candle) -> tuple[Any, ...]:
    return (
        candle.venue,
        candle.symbol,
        candle.interval,
        to_datetime(candle.open_time_us),
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        candle.quote_volume,
        candle.trade_count,
        to_datetime(candle.first_event_time_us),
        candle.first_trade_id,
        to_datetime(candle.last_event_time_us),
        candle.last_trade_id,
        candle.revision,
    )


def _by_key(rows: Sequence[asyncpg.Record]) -> dict[tuple[Any, ...], Candle]:
    candles = map(candle_of, rows)
    return {(it.venue, it.symbol, it.interval, it.open_time_us): it for it in candles}
