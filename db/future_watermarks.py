"""Resets watermarks that are in the future to the time of the symbols' trades."""

import logging
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import asyncpg

from db.averages import correct_averages
from db.gaps import write_gaps
from db.leases import Lease, advance_in_transaction
from db.pool import transaction
from db.repair import flag_candles, recompute_candles
from db.trades import TRADE_READ, trade_of
from tickplant.averages import AverageSpecs
from tickplant.intervals import MINUTE_US, floor
from tickplant.market import SymbolId, Trade
from tickplant.times import to_datetime, to_us
from tickplant.wire import Verdict

_log = logging.getLogger(__name__)

_TOLERANCE: Final = timedelta(minutes=10)
_MAX_DELETED: Final = 4
"""If more trades are in the future, they confirm one another, and our clock is wrong."""

REASON: Final = "its time is in the future"


class _FutureSymbol(NamedTuple):
    symbol: SymbolId
    numbered: bool
    bound: datetime
    """Any time after this one is in the future."""


async def reset_future_watermarks(
    pool: asyncpg.Pool, lease: Lease, now_us: int, *, specs: AverageSpecs | None
) -> list[Trade]:
    """Repair the symbols of a partition that was just taken, in one fenced transaction.

    A single wrong event time moves the watermark into the future and closes every candle, so that later
    trades count as late. Trades in the future are deleted, their ids recorded as missing, candles and
    averages recomputed without them, and candles that have not ended reopened.

    Args:
        pool: connections.
        lease: of the partition.
        now_us: the current time by our clock; the database's is used if it is later.
        specs: which averages are computed; None for none.

    Returns:
        The deleted trades.

    Raises:
        LeaseLostError: another owner has taken the partition; nothing has changed.
    """
    rows = await pool.fetch(_FIND, lease.partition, to_datetime(now_us), _TOLERANCE)
    if not rows:
        return []
    deleted: list[Trade] = []
    async with transaction(pool) as connection:
        for row in rows:
            symbol = SymbolId(row["venue"], row["symbol"])
            future = _FutureSymbol(symbol, row["numbered"], row["bound"])
            deleted += await _reset(connection, future, specs)
        await advance_in_transaction(connection, lease, lease.entry_id, lease.entry_id)
    return deleted


async def _reset(
    connection: asyncpg.Connection, future: _FutureSymbol, specs: AverageSpecs | None
) -> list[Trade]:
    symbol = future.symbol
    rows = await connection.fetch(_FUTURE, *symbol, future.bound, _MAX_DELETED + 1)
    latest = await connection.fetchval(_LATEST, *symbol, future.bound)
    if len(rows) > _MAX_DELETED or latest is None:
        _log.warning("%s: many trades have event times in the future: check this machine's clock", symbol)
        return []
    deleted = [trade_of(row) for row in rows]
    _log.warning("%s: its watermark was in the future and has been reset to %s", symbol, latest)
    await connection.execute(_DELETE, *symbol, future.bound)
    ids = [trade.trade_id for trade in deleted] if future.numbered else []
    await connection.execute(_WRITE_LEDGER, *symbol, latest, ids)
    minutes = {floor(trade.event_time_us, MINUTE_US) for trade in deleted}
    minutes.add(floor(to_us(latest), MINUTE_US))  # the watermark's: its candles are open again
    changed = await recompute_candles(connection, symbol, minutes)
    await flag_candles(connection, symbol)
    if specs is not None:
        await correct_averages(connection, changed, specs)
    verdicts = [Verdict(*symbol, trade_id, trade_id, "unrecoverable", REASON) for trade_id in ids]
    await write_gaps(connection, [(*symbol, to_us(latest))], verdicts)
    for query in _RESET_ROLES:
        await connection.execute(query, *symbol, latest)
    return deleted


_FIND: Final = """
select venue, symbol, numbered, greatest(now(), $2) + $3::interval as bound from ledger
where partition = $1 and watermark > greatest(now(), $2) + $3::interval
order by venue, symbol
"""

_FUTURE: Final = f"""
select {TRADE_READ} from trades where venue = $1 and symbol = $2 and event_time > $3 limit $4
"""  # noqa: S608 - constants only

_DELETE: Final = "delete from trades where venue = $1 and symbol = $2 and event_time > $3"

_LATEST: Final = """
select max(event_time) from trades where venue = $1 and symbol = $2 and event_time <= $3
"""

_WRITE_LEDGER: Final = """
update ledger set watermark = $3, missing = missing + coalesce(
    (select range_agg(int8range(id, id, '[]')) from unnest($4::int8[]) id), '{}'
)
where venue = $1 and symbol = $2
"""

_RESET_ROLES: Final = (
    "delete from waiting where venue = $1 and symbol = $2 and $3::timestamptz is not null",
    "update bot_accounts set \"time\" = least(\"time\", $3), day = least(day, date_trunc('day', $3, 'UTC'))"
    " where venue = $1 and symbol = $2",
)
