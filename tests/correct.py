"""A correct database, built from trades by the merge rule itself, without workers."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any

import asyncpg
import msgspec

from tickplant.intervals import BASE, DAY_US, HOUR_US, INTERVALS, MINUTE_US, floor
from tickplant.market import Candle, Side, SymbolId, Trade, fold
from tickplant.times import to_datetime

SYMBOL = SymbolId("binance", "BTCUSDT")
SUNDAY_US = 1_722_729_600_000_000  # 2024-08-04: a week ends with that day
FIRST_ID = 3_735_683_259


def random_trades(seed: int, count: int = 800) -> list[Trade]:
    """Return trades over three days with gaps in the ids, and times that repeat or go back."""
    random = Random(seed)
    trades = []
    trade_id, time_us = FIRST_ID, SUNDAY_US + random.randrange(DAY_US // 2)
    for _ in range(count):
        price = Decimal(random.randrange(1, 10_000_000)).scaleb(-random.randrange(9))
        size = Decimal(random.randrange(1, 10_000)).scaleb(-random.randrange(9))
        moment_us = time_us - random.choice((0, 0, 0, 1, MINUTE_US))
        side: Side = "sell" if trade_id % 3 else "buy"
        trades.append(Trade(*SYMBOL, trade_id, f"{price:f}", f"{size:f}", side, moment_us, moment_us + 7))
        trade_id += random.choice((1, 1, 1, 1, 1, 1, 1, 3))
        time_us += random.choice((0, 0, 0, 1_000, 20_000_000, 90_000_000, HOUR_US // 3))
    return trades


def ledger_of(trades: Sequence[Trade]) -> tuple[int, int, list[tuple[int, int]], int]:
    """First id, last id, missing ranges, watermark of stored trades."""
    ids = sorted(trade.trade_id for trade in trades)
    missing = [(low + 1, high) for low, high in pairwise(ids) if high > low + 1]
    return ids[0], ids[-1], missing, max(trade.event_time_us for trade in trades)


def candles_of(trades: Sequence[Trade], until_us: int | None = None) -> list[Candle]:
    """Candles of all intervals, straight from the trades, with their flags.

    Args:
        trades: of one symbol.
        until_us: the watermark; None: the last trade's time.
    """
    first, last, missing, watermark_us = ledger_of(trades)
    if until_us is not None:
        watermark_us = until_us
    absent = {trade_id for low, high in missing for trade_id in range(low, high)}
    candles = []
    for interval, length_us in INTERVALS.items():
        for candle in fold(trades, interval, length_us):
            closed = candle.open_time_us + length_us <= watermark_us
            low, high = sorted((candle.first_trade_id, candle.last_trade_id))
            complete = closed and first < low and high < last and absent.isdisjoint(range(low - 1, high + 2))
            candles.append(msgspec.structs.replace(candle, closed=closed, complete=complete))
    return candles


def open_rows_of(trades: Sequence[Trade], until_us: int | None = None) -> list[Candle]:
    """The stored rows of open candles: longer ones without the trades of the watermark's minute."""
    watermark_us = ledger_of(trades)[3] if until_us is None else until_us
    ended = [trade for trade in trades if trade.event_time_us < floor(watermark_us, MINUTE_US)]
    return [
        candle
        for name, length_us in INTERVALS.items()
        for candle in fold(trades if name == BASE else ended, name, length_us)
        if candle.open_time_us + length_us > watermark_us
    ]


async def store_candles(
    connection: asyncpg.Connection,
    trades: Sequence[Trade],
    until_us: int | None = None,
    *,
    columns: int | None = None,
) -> None:
    """Replace the candles of a symbol by those of its trades; `columns` is the number that a table has."""
    closed = [candle for candle in candles_of(trades, until_us) if candle.closed]
    opened = open_rows_of(trades, until_us)
    for table, candles in (("closed_candles", closed), ("open_candle_rows", opened)):
        await connection.execute(f"delete from {table} where symbol = $1", trades[0].symbol)
        await connection.copy_records_to_table(
            table, records=[candle_row(candle)[:columns] for candle in candles]
        )


async def store(connection: asyncpg.Connection, trades: Sequence[Trade]) -> None:
    """Write trades of one symbol, their candles and their ledger."""
    await connection.copy_records_to_table("trades", records=[trade_row(trade) for trade in trades])
    await store_candles(connection, trades)
    first, last, missing, watermark_us = ledger_of(trades)
    await connection.execute(
        "insert into ledger values ($1, $2, 0, $3, $4, $5, $6)",
        trades[0].venue,
        trades[0].symbol,
        first,
        last,
        [asyncpg.Range(low, high) for low, high in missing],
        to_datetime(watermark_us),
    )


def trade_row(trade: Trade) -> tuple[Any, ...]:
    return (
        *(trade.venue, trade.symbol, trade.trade_id, Decimal(trade.price), Decimal(trade.size), trade.side),
        *(to_datetime(trade.event_time_us), to_datetime(trade.ingest_time_us)),
    )


def candle_row(candle: Candle) -> tuple[Any, ...]:
    values = msgspec.structs.asdict(candle)
    return tuple(to_datetime(value) if name.endswith("_us") else value for name, value in values.items())
