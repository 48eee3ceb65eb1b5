"""History as JSON lines, Arrow and Parquet: the same rows and digits as in JSON, in constant memory."""

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from api_plant import BTC, T0, Plant, running_plant, trade
from conftest import on_one_variant
from pages import all_rows

from api.http import whole_lists
from api.http.table_formats import TABLE_FORMATS, TableFormat
from tickplant.intervals import MINUTE_US

pytestmark = on_one_variant

COUNT = 2_500
"""More than two pages."""
TRADES = "/api/v1/trades/binance:BTCUSDT"
CANDLES = "/api/v1/ohlcv/binance:BTCUSDT"
SIZES = ("0.50000000", "12345678901234567890123456789.5", "0.0000000000000000001")


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url, symbols=[BTC]) as running:
        trades = [
            trade(n, at_us=T0 + n * MINUTE_US // 4, price=f"{60000 + n % 700}.{n % 10}0", size=SIZES[n % 3])
            for n in range(1, COUNT + 1)
        ]
        await running.store(*trades)
        yield running


def read(format_: str, content: bytes) -> pa.Table:
    if format_ == "parquet":
        return pq.read_table(io.BytesIO(content))
    return pyarrow.ipc.open_stream(content).read_all()


@pytest.mark.parametrize("format_", ["jsonl", "arrow", "parquet"])
@pytest.mark.parametrize(
    ("path", "name", "parameters"),
    [
        (TRADES, "trades", {}),
        (CANDLES, "candles", {"interval": "1m"}),
        (CANDLES, "candles", {"interval": "3m", "fill": "previous"}),
        (CANDLES, "candles", {"interval": "1s"}),
        ("/api/v1/moving-average/binance:BTCUSDT", "averages", {"length": 5}),
    ],
)
async def test_tables_have_all_rows_of_json(
    plant: Plant, format_: str, path: str, name: str, parameters: dict[str, Any]
) -> None:
    expected = await all_rows(plant, path, name, **parameters)
    response = await plant.http.get(path, params={"format": format_, **parameters})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == TABLE_FORMATS[format_].media_type
    if format_ == "jsonl":
        assert [json.loads(line) for line in response.text.splitlines()] == expected
        return
    table = read(format_, response.content)
    assert table.column_names == list(expected[0])
    rows = table.to_pylist()
    assert len(rows) == len(expected) > 100
    for row, wanted in zip(rows, expected, strict=True):
        for column, value in row.items():
            text = wanted[column]
            if isinstance(value, Decimal):
                assert value == Decimal(text), column
            elif isinstance(value, datetime):
                assert value == datetime.fromisoformat(text), column
            else:
                assert value == text, column


async def test_columns_have_the_types_that_programs_compute_with(plant: Plant) -> None:
    table = read("parquet", (await plant.http.get(TRADES, params={"format": "parquet"})).content)
    types = {field.name: str(field.type) for field in table.schema}
    assert types == {
        "trade_id": "int64",
        "price": "decimal128(18, 8)",
        "size": "decimal256(76, 38)",
        "side": "string",
        "event_time": "timestamp[us, tz=UTC]",
        "ingest_time": "timestamp[us, tz=UTC]",
    }


@pytest.mark.parametrize("format_", ["arrow", "parquet"])
async def test_lists_without_rows_have_their_columns(plant: Plant, format_: str) -> None:
    for path in ("/api/v1/signals", "/api/v1/gaps", "/api/v1/bot/equity/binance:BTCUSDT"):
        response = await plant.http.get(path, params={"format": format_})
        table = read(format_, response.content)
        assert table.num_rows == 0
        assert len(table.column_names) > 3


@pytest.mark.parametrize("format_", TABLE_FORMATS.values(), ids=TABLE_FORMATS)
async def test_the_header_accept_chooses(plant: Plant, format_: TableFormat) -> None:
    response = await plant.http.get(TRADES, headers={"accept": f"{format_.media_type}, */*;q=0.1"})
    assert response.headers["content-type"] == format_.content_type
    tag = response.headers["etag"]
    again = await plant.http.get(TRADES, headers={"accept": format_.media_type, "if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    other = await plant.http.get(TRADES, params={"format": "csv"}, headers={"if-none-match": tag})
    assert other.status_code == 200
    head = await plant.http.head(TRADES, headers={"accept": format_.media_type})
    assert (head.status_code, head.content) == (200, b"")


async def test_without_pyarrow_the_reason_is_told(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TableFormat, "available", lambda self: not self.measured)
    response = await plant.http.get(TRADES, params={"format": "parquet"})
    assert response.status_code == 400
    assert "needs pyarrow" in response.json()["detail"]
    response = await plant.http.get(TRADES, headers={"accept": "application/vnd.apache.parquet, */*;q=0.1"})
    assert response.headers["content-type"].startswith("application/json")


async def test_a_wider_row_that_comes_meanwhile_ends_the_response_unfinished(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client must not take a part for the whole."""

    def measure_little(rows: Any, kind: Any, widths: dict[str, tuple[int, int]]) -> None:
        widths.update({"price": (5, 2), "size": (1, 8)})

    monkeypatch.setattr(whole_lists, "measure", measure_little)
    port = int(plant.address.rpartition(":")[2])
    connection = socket.create_connection(("127.0.0.1", port))
    request = f"GET {TRADES}?format=parquet HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    connection.sendall(request.encode())
    received = bytearray()
    with connection:
        while part := await asyncio.to_thread(connection.recv, 65_536):
            received += part
    assert received.startswith(b"HTTP/1.1 200 ")
    assert not received.endswith(b"0\r\n\r\n")
    assert "ended early: a wider row came" in caplog.text
    assert "Traceback" not in caplog.text
    assert len((await plant.get(TRADES, limit=10))["trades"]) == 10


async def test_clients_that_leave_hold_nothing(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_lists, "_PAGE_LENGTH", 5)
    port = int(plant.address.rpartition(":")[2])
    for _ in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**12)
        writer.write(f"GET {TRADES}?format=jsonl HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
    assert len((await plant.get(TRADES, limit=10))["trades"]) == 10
