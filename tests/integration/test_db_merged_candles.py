"""Candles of the intervals that are not stored equal those computed from the trades, digit by digit."""

from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import asyncpg
import msgspec
import pytest
from correct import SYMBOL, store
from merged import merged_candles_of, trades_of_weeks

from api.views.candles import candle_view
from db.candles import candle_of, read_candles, read_candles_as_json
from db.export import ExportSelection, estimate_rows, export_rows
from db.pool import connect
from tickplant.intervals import MERGED
from tickplant.market import SymbolId
from tickplant.times import to_datetime, to_us

TRADES = trades_of_weeks()
FIRST_US, LAST_US = TRADES[0].event_time_us, TRADES[-1].event_time_us


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(database_url, application="test")
    await store(connection, TRADES)
    yield connection
    await connection.close()


async def test_pages_are_cut_between_whole_candles(connection: asyncpg.Connection) -> None:
    symbol, middle_us = SymbolId(*SYMBOL), (FIRST_US + LAST_US) // 2
    ranges = ((0, 2 * LAST_US), (middle_us, LAST_US + 1), (FIRST_US, middle_us + 1))
    for interval in MERGED:
        expected = merged_candles_of(TRADES, interval)
        for (start_us, end_us), newest, limit in product(ranges, (False, True), (1, 2, 5, 1_000)):
            inside = [candle for candle in expected if start_us <= candle.open_time_us < end_us]
            bounds: Any = {"start_us": start_us, "end_us": end_us, "newest": newest, "limit": limit}
            page = inside[-limit:] if newest else inside[:limit]
            assert await read_candles(connection, symbol, interval, **bounds) == page, (interval, bounds)
            rows, edge, _ = await read_candles_as_json(connection, symbol, interval, **bounds)
            assert rows == msgspec.json.encode([candle_view(candle) for candle in page]), (interval, bounds)
            assert (edge is not None) == (len(inside) > limit), (interval, bounds)
            if edge is not None:
                assert to_us(edge[0]) == page[0 if newest else -1].open_time_us, (interval, bounds)


async def test_the_function_is_the_same_in_every_time_zone(connection: asyncpg.Connection) -> None:
    for zone in ("UTC", "Pacific/Auckland", "America/New_York"):
        await connection.execute(f"set timezone to '{zone}'")
        for interval in MERGED:
            rows = await connection.fetch(
                "select * from merged_candles($1, $2, $3) order by open_time", *SYMBOL, interval
            )
            assert [candle_of(row) for row in rows] == merged_candles_of(TRADES, interval)


async def test_they_are_exported(connection: asyncpg.Connection) -> None:
    for interval in MERGED:
        selection = ExportSelection(
            symbol=SymbolId(*SYMBOL),
            interval=interval,
            start=to_datetime(FIRST_US - 40 * 86_400_000_000),
            end=to_datetime(LAST_US + 1),
        )
        lines: list[bytes] = []

        async def write(part: bytes, lines: list[bytes] = lines) -> None:
            lines.append(part)

        expected = merged_candles_of(TRADES, interval)
        assert await estimate_rows(connection, selection) == len(expected)
        assert await export_rows(connection, selection, "jsonl", write) == len(expected)
        exported = [msgspec.json.decode(line) for line in b"".join(lines).splitlines()]
        assert [(row["open"], row["volume"], row["last_trade_id"]) for row in exported] == [
            (f"{candle.open:f}", f"{candle.volume:f}", candle.last_trade_id) for candle in expected
        ]
