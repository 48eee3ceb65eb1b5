"""pandas, polars and DuckDB read CSV of this API over HTTP, unmodified."""

import csv
from io import StringIO

import pytest
from api_plant import BTC, T0, running_plant, trade
from client_programs import run_script
from conftest import on_one_variant

from tickplant.intervals import MINUTE_US

pytestmark = [on_one_variant, pytest.mark.slow]

COUNT = 2_500


async def test_pandas_polars_and_duckdb_read_all_rows_with_all_digits(
    redis_url: str, database_url: str
) -> None:
    async with running_plant(redis_url, database_url, symbols=[BTC]) as plant:
        sizes = ("0.50000000", "12345678901234567890.5", "0.0000000000000000001")
        await plant.store(
            *(trade(n, at_us=T0 + n * MINUTE_US, price="61837.630", size=sizes[n % 3]) for n in range(COUNT))
        )
        path = "/api/v1/ohlcv/binance:BTCUSDT?interval=1m&format=csv"
        columns, *rows = csv.reader(StringIO((await plant.http.get(path)).text))
        found = await run_script("frames.py", f"{plant.address}{path}")
    assert len(rows) == COUNT
    assert list(found) == ["pandas", "polars", "duckdb"]
    for read_columns, read_rows in found.values():
        assert read_columns == columns
        assert len(read_rows) == COUNT
        assert not [pair for pair in zip(read_rows, rows, strict=True) if pair[0] != pair[1]][:1]
