"""`tickplant export` as Parquet and Arrow, and by day and month: files have all digits of the database."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import asyncpg
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from conftest import on_one_variant
from correct import SYMBOL, random_trades, store
from forked import run_apart

from tickplant.intervals import DAY_US
from tickplant.market import SymbolId, Trade

AAA = SymbolId("kraken", "AAA/USD")
START_US = 1_709_164_800_000_000
"""2024-02-29T00:00:00Z."""
WIDE = "1234567890123456789012345678901234567890.123456789"
TRADES = [
    Trade(*AAA, 1, "0.00000000000000000001", "1.500", "buy", START_US, START_US + 1),
    Trade(*AAA, 2, WIDE, "2", None, START_US + DAY_US - 1, START_US + DAY_US),
    Trade(*AAA, 3, "7", "0.25", "sell", START_US + DAY_US, START_US + DAY_US + 5),
    Trade(*AAA, 4, "8.10", "3", "sell", START_US + 40 * DAY_US, START_US + 40 * DAY_US),
]


async def export(folder: Path, url: str, *arguments: str) -> Any:
    environment = {"TICKPLANT_DATABASE_URL": url}
    return await asyncio.to_thread(run_apart, "export", *arguments, environment=environment, folder=folder)


def read(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        return pq.read_table(path)
    return pyarrow.feather.read_table(path)


@on_one_variant
@pytest.mark.parametrize("format_", ["parquet", "arrow"])
@pytest.mark.parametrize("what", ["trades", "candles"])
async def test_files_have_the_values_of_the_database(
    what: str, format_: str, database_url: str, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(database_url)
    await store(connection, TRADES)
    order = "event_time, trade_id" if what == "trades" else "open_time"
    await connection.execute("update plant set source = 'replay'")
    where = "symbol = $1" if what == "trades" else "symbol = $1 and interval = '1m'"
    stored = [
        dict(row)
        for row in await connection.fetch(f"select * from {what} where {where} order by {order}", AAA.symbol)
    ]
    await connection.close()
    name = f"rows.{format_}"
    ended = await export(
        tmp_path, database_url, what, "--symbol", str(AAA), "--format", format_, "--output", name
    )
    assert (ended.returncode, ended.stdout) == (0, "")
    table = read(tmp_path / name)
    rows = table.to_pylist()
    assert len(rows) == len(stored) == 4
    for row, expected in zip(rows, stored, strict=True):
        for column, value in row.items():
            if column != "source":
                assert value == expected[column], column
    assert {str(field.type) for field in table.schema if "time" in field.name} == {"timestamp[us, tz=UTC]"}
    prices = table.schema.field("price" if what == "trades" else "open").type
    assert pa.types.is_decimal(prices)
    assert (prices.precision, prices.scale) == (76, 20) or prices.precision - prices.scale >= 40
    with localcontext(prec=80):
        total = sum((row["price" if what == "trades" else "close"] for row in rows), Decimal(0))
        assert total == Decimal(WIDE) + Decimal("15.10000000000000000001")
    assert {row["source"] for row in rows} == {"replay"}


@on_one_variant
async def test_floats_only_where_they_are_requested(database_url: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(database_url)
    await store(connection, random_trades(seed=1))
    await connection.close()
    common = ("candles", "--symbol", str(SYMBOL), "--interval", "1h", "--format", "parquet")
    for name, more in (("exact.parquet", ()), ("floats.parquet", ("--floats",))):
        ended = await export(tmp_path, database_url, *common, *more, "--output", name)
        assert ended.returncode == 0, ended.stderr
    exact, floats = read(tmp_path / "exact.parquet"), read(tmp_path / "floats.parquet")
    for column in ("open", "volume", "taker_buy_quote_volume"):
        assert pa.types.is_decimal(exact.schema.field(column).type)
        assert floats.schema.field(column).type == pa.float64()
        assert [float(str(value)) for value in exact[column].to_pylist()] == floats[column].to_pylist()
    ended = await export(tmp_path, database_url, *common[:-1], "csv", "--floats")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--floats is for Parquet and Arrow" in ended.stderr


@on_one_variant
@pytest.mark.parametrize("format_", ["parquet", "arrow", "csv", "jsonl"])
async def test_each_day_or_month_with_rows_has_a_file(
    format_: str, database_url: str, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(database_url)
    await store(connection, TRADES)
    await connection.close()
    common = ("--symbol", str(AAA), "--format", format_, "--output")
    for what, period in (("trades", "day"), ("trades", "month"), ("candles", "month")):
        ended = await export(tmp_path, database_url, what, "--by", period, *common, f"{what}/{period}")
        assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert sorted(path.name for path in (tmp_path / "trades" / "day").iterdir()) == [
        f"kraken-AAA%2FUSD-trades-{day}.{format_}" for day in ("2024-02-29", "2024-03-01", "2024-04-09")
    ]
    for what, label in (("trades", "trades"), ("candles", "candles-1m")):
        assert sorted(path.name for path in (tmp_path / what / "month").iterdir()) == [
            f"kraken-AAA%2FUSD-{label}-{month}.{format_}" for month in ("2024-02", "2024-03", "2024-04")
        ]
    if format_ in ("parquet", "arrow"):
        february = read(
            tmp_path / "trades" / "month" / f"kraken-AAA%2FUSD-trades-2024-02.{format_}"
        ).to_pylist()
        assert [row["trade_id"] for row in february] == [1, 2]
        assert february[1]["event_time"] == datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)


@on_one_variant
async def test_a_time_without_rows_is_reported(database_url: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(database_url)
    await store(connection, TRADES)
    await connection.close()
    common = (
        "trades",
        "--symbol",
        str(AAA),
        "--from",
        "2023-01-01",
        "--to",
        "2023-02-01",
        "--format",
        "parquet",
    )
    ended = await export(tmp_path, database_url, *common, "--by", "day", "--output", "days")
    assert (ended.returncode, list((tmp_path / "days").iterdir())) == (0, [])
    assert ended.stderr == "there are no trades of kraken:AAA/USD in this time\n"
    ended = await export(tmp_path, database_url, *common, "--output", "none.parquet")
    assert ended.returncode == 0
    assert read(tmp_path / "none.parquet").num_rows == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--by", "day"), "name their folder by --output"),
        (("--by", "week", "--output", "x"), "invalid choice: 'week'"),
        (("--format", "xlsx"), "invalid choice: 'xlsx'"),
    ],
)
async def test_wrong_arguments_are_one_line(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    ended = await export(
        tmp_path, "postgresql://nobody@127.0.0.1:1/none", "trades", "--symbol", "X", *arguments
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
