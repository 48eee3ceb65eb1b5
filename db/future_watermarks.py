"""Symbols whose watermark is in the future, brought back to the time of their trades."""

import logging
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import asyncpg

from db.averages import CandleKey, correct_averages
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

_AHEAD: Final = timedelta(minutes=10)
_MOST_REMOVED: Final = 4
"""More trades than these in the future confirm one another: then it is our clock that is wrong."""

REASON: Final = "its time is in the future"


class _Ahead(NamedTuple):
    symbol: SymbolId
    numbered: bool
    bound: datetime
    """What is later is in the future."""


async def reset_future_watermarks(
    pool: asyncpg.Pool, lease: Lease, now_us: int, *, specs: AverageSpecs | None
) -> list[Trade]:
    """Repair the symbols of a partition that has just been taken, in one fenced transaction.

    A watermark that one wrong time has moved into the future has closed every candle, so that later trades
    counted as late. Trades of the future are removed, with what was made of them, and their ids noted as
    missing; candles are open again that have not ended.

    Args:
        pool: connections.
        lease: of the partition.
        now_us: the present by our clock; the database's counts, too, whichever is later.
        specs: what is averaged; None for nothing.

    Returns:
        The trades removed.

    Raises:
        LeaseLostError: another owner has taken the partition; nothing has changed.
    """
    found = await pool.fetch(_FIND, lease.partition, to_datetime(now_us), _AHEAD)
    if not found:
        return []
    removed: list[Trade] = []
    async with transaction(pool) as connection:
        for row in found:
            symbol = SymbolId(row["venue"], row["symbol"])
            removed += await _bring_back(connection, _Ahead(symbol, row["numbered"], row["bound"]), specs)
        await advance_in_transaction(connection, lease, lease.entry_id, lease.entry_id)
    return removed


async def _bring_back(
    connection: asyncpg.Connection, ahead: _Ahead, specs: AverageSpecs | None
) -> list[Trade]:
    symbol = ahead.symbol
    rows = await connection.fetch(_FUTURE, *symbol, ahead.bound, _MOST_REMOVED + 1)
    latest = await connection.fetchval(_LATEST, *symbol, ahead.bound)
    if len(rows) > _MOST_REMOVED or latest is None:
        _log.warning("%s: many trades are dated in the future; is this machine's clock right?", symbol)
        return []
    removed = [trade_of(row) for row in rows]
    _log.warning("%s: its watermark was in the future; it is %s again", symbol, latest)
    await connection.execute(_DELETE, *symbol, ahead.bound)
    ids = [trade.trade_id for trade in removed] if ahead.numbered else []
    await connection.execute(_WRITE_LEDGER, *symbol, latest, ids)
    minutes = {floor(trade.event_time_us, MINUTE_US) for trade in removed}
    changed = await recompute_candles(connection, symbol, minutes) if minutes else []
    await flag_candles(connection, symbol)
    reopened = await connection.fetch(_REOPENED, *symbol)
    changed += [CandleKey(*symbol, row["interval"], to_us(row["open_time"])) for row in reopened]
    if specs is not None:
        await correct_averages(connection, changed, specs)
    verdicts = [Verdict(*symbol, it, it, "unrecoverable", REASON) for it in ids]
    await write_gaps(connection, [(*symbol, to_us(latest))], verdicts)
    for query in _ROLES:
        await connection.execute(query, *symbol, latest)
    return removed


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

# One that is open has never closed, so that no trade came after it had.
_REOPENED: Final = """
update candles set revision = 0
where venue = $1 and symbol = $2 and not closed
returning "interval", open_time
"""

_ROLES: Final = (
    "delete from waiting where venue = $1 and symbol = $2 and $3::timestamptz is not null",
    "update bot_accounts set \"time\" = least(\"time\", $3), day = least(day, date_trunc('day', $3, 'UTC'))"
    " where venue = $1 and symbol = $2",
)
