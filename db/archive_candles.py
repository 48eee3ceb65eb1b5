"""The candles of an archived day, made of its trades where those of the database were removed by age."""

from datetime import date, timedelta
from typing import Final

import asyncpg

from db.archive_rows import ARCHIVED_INTERVALS, day_start
from db.audit_queries import RECOMPUTED
from tickplant.market import SymbolId

_DAY: Final = timedelta(days=1)


async def recompute_candles(connection: asyncpg.Connection, symbol: SymbolId, day: date, rows: str) -> None:
    """Let the rest of a transaction read a day's candles as its trades make them instead of the stored ones.

    Args:
        connection: inside `day_rows`.
        symbol: of the trades.
        day: of the trades.
        rows: from `day_rows`.
    """
    await connection.execute(
        _CANDLES.format(recomputed=RECOMPUTED.format(trades=rows)),
        *symbol,
        day_start(day),
        day_start(day) + _DAY,
    )
    await connection.execute("discard plans")  # a statement prepared before would still read the stored ones


# A temporary table's name comes first in every search path.
_CANDLES: Final = f"""
    create temporary table candles on commit drop as with {{recomputed}}
    select $1 collate "C" as venue, $2 collate "C" as symbol, f."interval", f.open_time, f.open, f.high,
        f.low, f.close, f.volume, f.quote_volume, f.trade_count::bigint as trade_count, f.first_event_time,
        f.first_trade_id, f.last_event_time, f.last_trade_id, coalesce(c.revision, 0) as revision, f.closed,
        f.complete, f.taker_buy_volume, f.taker_buy_quote_volume
    from flagged f left join candles c
        on c.venue = $1 and c.symbol = $2 and c."interval" = f."interval" and c.open_time = f.open_time
    where f."interval" = any(array{list(ARCHIVED_INTERVALS)})
"""  # noqa: S608 - constants only
