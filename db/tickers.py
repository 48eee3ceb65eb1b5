"""Reads what a ticker has besides the changes of 24 hours, and how finely prices and sizes are divided."""

from collections.abc import Collection
from decimal import Decimal
from typing import Final, NamedTuple

import asyncpg

from db.stats import Change24h
from tickplant.market import SymbolId
from tickplant.times import to_datetime, to_us


class WindowEdges(NamedTuple):
    """The trades at the ends of a window that ends with a symbol's newest trade."""

    previous_close: Decimal | None
    """Price of the last trade before the window; None, as all others, if there is no such trade."""
    first_trade_id: int | None
    last_trade_id: int | None
    last_size: Decimal | None
    last_event_time_us: int | None


class Divisions(NamedTuple):
    """How many decimal places the prices and sizes of a symbol have, without zeros at the end."""

    symbol: SymbolId
    price_places: int
    size_places: int


async def read_window_edges(
    connection: asyncpg.Connection, changes: Collection[Change24h]
) -> dict[SymbolId, WindowEdges]:
    """Return the edges of the windows of changes, by symbol."""
    columns = (
        [change.symbol.venue for change in changes],
        [change.symbol.symbol for change in changes],
        [to_datetime(change.start_us) for change in changes],
    )
    return {
        SymbolId(venue, symbol): WindowEdges(close, first_id, last_id, size, time and to_us(time))
        for venue, symbol, close, first_id, last_id, size, time in await connection.fetch(_EDGES, *columns)
    }


async def read_divisions(connection: asyncpg.Connection, venue: str) -> list[Divisions]:
    """Return the divisions of a venue's symbols with trades, as found in their days and newest trades."""
    rows = await connection.fetch(_DIVISIONS, venue)
    return [Divisions(SymbolId(venue, row["symbol"]), row["price"], row["size"]) for row in rows]


_EDGES: Final = """
select w.venue, w.symbol, b.close, f.first_trade_id, t.trade_id, t.size, t.event_time
from unnest($1::text[], $2::text[], $3::timestamptz[]) as w (venue, symbol, start)
left join lateral (
    select close from candles
    where venue = w.venue and symbol = w.symbol and "interval" = '1m' and open_time < w.start
    order by open_time desc limit 1
) b on true
left join lateral (
    select first_trade_id from candles
    where venue = w.venue and symbol = w.symbol and "interval" = '1m' and open_time >= w.start
    order by open_time limit 1
) f on true
left join lateral (
    select trade_id, size, event_time from trades
    where venue = w.venue and symbol = w.symbol and event_time >= w.start
    order by event_time desc, trade_id desc limit 1
) t on true
"""

# A day's sum of sizes has nearly always as many places as its most finely divided size.
_DIVISIONS: Final = """
select l.symbol, coalesce(greatest(d.price, t.price), 8) as price,
    coalesce(greatest(d.size, t.size), 8) as size
from ledger l
cross join lateral (
    select max(greatest(scale(trim_scale(open)), scale(trim_scale(high)), scale(trim_scale(low)),
        scale(trim_scale(close)))) as price, max(scale(trim_scale(volume))) as size
    from candles where venue = l.venue and symbol = l.symbol and "interval" = '1d'
) d
cross join lateral (
    select max(scale(trim_scale(price))) as price, max(scale(trim_scale(size))) as size
    from (
        select price, size from trades where venue = l.venue and symbol = l.symbol
        order by event_time desc, trade_id desc limit 1000
    ) newest
) t
where l.venue = $1
order by l.symbol
"""
