"""What export writes is what was inserted, digit by digit."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import asyncpg
import pytest

from db.export import ExportFormat, ExportSelection, estimate_rows, export_rows, open_reader
from tickplant.errors import FatalError
from tickplant.market import SymbolId

SYMBOL = SymbolId("binance", "BTC\"US,DT'\\")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2024, 8, 8, 23, 59, tzinfo=UTC)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
NUMBERS = [
    "61837.63000000",
    "0.00000001",
    "0.1",
    "1",
    "12345678901234567890.123456789012345678",
    "100000",
    "5.10",
]
"""Trailing zeros are part of what is stored."""


def trade_rows(count: int = 5_000) -> list[dict[str, str]]:
    """The rows in the order in which they are to come out."""
    random = Random(1)
    rows = []
    for number in range(count):
        time = START + timedelta(microseconds=number // 3 * 37_001)
        rows.append(
            {
                "venue": SYMBOL.venue,
                "symbol": SYMBOL.symbol,
                "trade_id": str(10 + number),
                "price": random.choice(NUMBERS),
                "size": random.choice(NUMBERS),
                "side": random.choice(["buy", "sell", ""]),
                "event_time": f"{time:%Y-%m-%dT%H:%M:%S.%fZ}",
                "ingest_time": f"{time + timedelta(microseconds=5):%Y-%m-%dT%H:%M:%S.%fZ}",
            }
        )
    return rows


async def insert(connection: asyncpg.Connection, table: str, rows: list[dict[str, str]]) -> None:
    """Insert texts, as the server itself reads them, in another order."""
    text = io.StringIO()
    csv.writer(text).writerows(row.values() for row in Random(2).sample(rows, len(rows)))
    await connection.copy_to_table(table, source=io.BytesIO(text.getvalue().encode()), format="csv")


@pytest.fixture
async def trades(database_url: str) -> tuple[str, list[dict[str, str]]]:
    connection = await asyncpg.connect(database_url)
    rows = trade_rows()
    await insert(connection, "trades", rows)
    await insert(connection, "trades", [{**rows[0], "symbol": "OTHER"}])
    await connection.execute(
        "insert into ledger select venue, symbol, 0, min(trade_id), max(trade_id), '{}', now()"
        " from trades group by 1, 2"
    )
    await connection.close()
    return database_url, rows


async def export(url: str, form: ExportFormat, **selected: Any) -> str:
    selection = ExportSelection(
        **({"symbol": SYMBOL, "interval": None, "start": FIRST, "end": LAST} | selected)
    )
    output = io.BytesIO()

    async def write(lines: bytes) -> None:
        assert lines.endswith(b"\n")
        output.write(lines)

    async with open_reader(url, application="test") as connection:
        estimate = await estimate_rows(connection, selection)
        rows = await export_rows(connection, selection, form, write)
    text = output.getvalue().decode()
    assert rows == estimate == text.count("\n") - (form == "csv")
    return text


def from_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def from_jsonl(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


async def test_trades_are_exported_unchanged_oldest_first(trades: Any) -> None:
    url, rows = trades
    assert from_csv(await export(url, "csv")) == rows
    lines = from_jsonl(await export(url, "jsonl"))
    assert lines == [{**row, "trade_id": int(row["trade_id"]), "side": row["side"] or None} for row in rows]


async def test_from_is_inclusive_and_to_exclusive(trades: Any) -> None:
    url, rows = trades
    start, end = START + timedelta(microseconds=37_001), START + timedelta(microseconds=3 * 37_001)
    assert from_csv(await export(url, "csv", start=start, end=end)) == rows[3:9]
    assert await export(url, "jsonl", end=START) == ""
    assert (await export(url, "csv", end=START)).count("\n") == 1


async def test_candles_are_exported_with_every_column(database_url: str) -> None:
    rows = [
        {"venue": SYMBOL.venue, "symbol": SYMBOL.symbol, "interval": interval}
        | {"open_time": f"2024-08-08T23:{minute:02}:00Z"}
        | dict(zip(("open", "high", "low", "close", "volume", "quote_volume"), NUMBERS, strict=False))
        | {"trade_count": "2143"}
        | {"first_event_time": "2024-08-08T23:54:13.342001Z", "first_trade_id": "3735683259"}
        | {"last_event_time": "2024-08-08T23:54:59.000000Z", "last_trade_id": "3735685401"}
        | {"revision": "1", "closed": "true", "complete": "false"}
        | {"taker_buy_volume": NUMBERS[4], "taker_buy_quote_volume": ""}
        for interval in ("1m", "5m")
        for minute in range(0, 60, 5)
    ]
    connection = await asyncpg.connect(database_url)
    await insert(connection, "closed_candles", rows)
    await connection.close()
    exported = from_csv(await export(database_url, "csv", interval="5m"))
    assert exported == [row for row in rows if row["interval"] == "5m"]
    (line,) = from_jsonl(
        await export(database_url, "jsonl", interval="1m", end=START - timedelta(minutes=58))
    )
    numbers = ("trade_count", "first_trade_id", "last_trade_id", "revision")
    flags = {"closed": True, "complete": False, "taker_buy_quote_volume": None}
    expected = rows[0] | {name: int(rows[0][name]) for name in numbers} | flags
    assert line == expected
    assert Decimal(line["quote_volume"]) == Decimal(NUMBERS[5])


async def test_columns_are_those_of_the_table(trades: Any) -> None:
    url, _ = trades
    async with open_reader(url, application="test") as connection:
        for table, interval in (("trades", None), ("candles", "1m")):
            columns = await connection.fetch(
                "select column_name from information_schema.columns where table_name = $1"
                " order by ordinal_position",
                table,
            )
            header = (await export(url, "csv", interval=interval)).partition("\n")[0]
            assert header.split(",") == [row["column_name"] for row in columns]


async def test_a_writer_that_fails_ends_the_export_at_once(trades: Any) -> None:
    url, _ = trades
    selection = ExportSelection(symbol=SYMBOL, interval=None, start=FIRST, end=LAST)

    async def write(lines: bytes) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        async with open_reader(url, application="test") as connection:
            await export_rows(connection, selection, "csv", write)


async def test_a_database_that_is_not_ours_or_not_there_is_named(postgres_server: Any) -> None:
    with pytest.raises(FatalError, match="tickplant migrate"):
        async with open_reader(postgres_server.url, application="test"):
            pass
    with pytest.raises(FatalError, match="can't be reached"):
        async with open_reader("postgresql://nobody@127.0.0.1:1/none", application="test"):
            pass
