"""History as CSV: the same rows as in JSON, all of them, in constant memory."""

import asyncio
import csv
import gzip
import zlib
from collections.abc import AsyncIterator
from io import StringIO
from typing import Any

import pytest
from api_plant import BTC, T0, Plant, running_plant, trade
from conftest import on_one_variant
from pages import all_rows

from api.http import whole_lists
from tickplant.intervals import MINUTE_US
from tickplant.market import Gap
from tickplant.times import format_time

pytestmark = on_one_variant

COUNT = 2_500
"""More than two pages."""
TRADES = "/api/v1/trades/binance:BTCUSDT"
CANDLES = "/api/v1/ohlcv/binance:BTCUSDT"


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url, symbols=[BTC]) as running:
        await running.store(
            *(
                trade(
                    n, at_us=T0 + n * MINUTE_US // 4, price=f"{60000 + n % 700}.{n % 10}0", size="0.50000000"
                )
                for n in range(1, COUNT + 1)
            )
        )
        yield running


async def rows_of(plant: Plant, path: str, /, **parameters: Any) -> list[dict[str, str]]:
    response = await plant.http.get(path, params={"format": "csv", **parameters})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(StringIO(response.text)))


def as_text(row: dict[str, Any]) -> dict[str, str]:
    words = {None: "", True: "true", False: "false"}
    return {
        name: words[value] if value is None or isinstance(value, bool) else str(value)
        for name, value in row.items()
    }


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
async def test_csv_has_all_rows_of_json(
    plant: Plant, path: str, name: str, parameters: dict[str, Any]
) -> None:
    expected = await all_rows(plant, path, name, **parameters)
    found = await rows_of(plant, path, **parameters)
    assert len(found) == len(expected) > 100
    assert all(row == as_text(wanted) for row, wanted in zip(found, expected, strict=True))


async def test_bounds_apply_and_digits_stay(plant: Plant) -> None:
    window = {"start": format_time(T0), "end": format_time(T0 + MINUTE_US)}
    first, *_, last = await rows_of(plant, TRADES, **window)
    assert (first["trade_id"], first["price"], first["size"]) == ("1", "60001.10", "0.50000000")
    assert first["event_time"] == format_time(T0 + MINUTE_US // 4)
    assert last["trade_id"] == "3"


async def test_lists_without_rows_have_a_header(plant: Plant) -> None:
    response = await plant.http.get("/api/v1/signals?format=csv")
    assert response.text.startswith("strategy,symbol,number")
    assert response.text.count("\r\n") == 1
    assert await rows_of(plant, "/api/v1/bot/equity/binance:BTCUSDT") == []


async def test_gaps_are_listed_as_csv(plant: Plant) -> None:
    gap = Gap(*BTC, 7, 9, T0, T0 + 1, "open", "ours", None, 3)
    await plant.store_gaps(gap)
    (row,) = await rows_of(plant, "/api/v1/gaps")
    assert (row["first_id"], row["last_id"], row["reason"]) == ("7", "9", "")


@pytest.mark.parametrize(
    ("accept", "parameters", "is_csv"),
    [
        ("text/csv", {}, True),
        ("text/csv;q=0.5, application/json", {}, False),
        ("*/*", {}, False),
        ("text/html, */*;q=0.8", {"format": "csv"}, True),
        ("text/csv", {"format": "json"}, False),
    ],
)
async def test_the_parameter_or_else_the_header_chooses(
    plant: Plant, accept: str, parameters: dict[str, str], is_csv: bool
) -> None:
    response = await plant.http.get(TRADES, params=parameters, headers={"accept": accept})
    assert response.headers["content-type"].startswith("text/csv" if is_csv else "application/json")


@pytest.mark.parametrize("parameter", [{"limit": "5"}, {"after": "x"}])
async def test_a_page_is_not_available_as_csv(plant: Plant, parameter: dict[str, str]) -> None:
    response = await plant.http.get(TRADES, params={"format": "csv", **parameter})
    assert (response.status_code, response.json()["parameter"]) == (409, *parameter)


async def test_an_unknown_format_is_refused(plant: Plant) -> None:
    response = await plant.http.get(TRADES, params={"format": "xml"})
    assert response.status_code == 400
    assert "csv" in response.json()["detail"]


async def test_what_a_client_has_is_not_sent_again(plant: Plant) -> None:
    address = f"{TRADES}?format=csv"
    tag = (await plant.http.get(address)).headers["etag"]
    assert tag.startswith('W/"')
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        unchanged = await plant.http.get(address, headers={"if-none-match": known})
        assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag)
    assert (await plant.http.get(f"{CANDLES}?format=csv", headers={"if-none-match": tag})).status_code == 200
    await plant.store(trade(COUNT + 1, at_us=T0 + COUNT * MINUTE_US), entry="2-0")
    changed = await plant.http.get(address, headers={"if-none-match": tag})
    assert (changed.status_code, changed.text.count("\r\n")) == (200, COUNT + 2)


async def test_head_has_the_headers_only(plant: Plant) -> None:
    response = await plant.http.head(f"{TRADES}?format=csv")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["etag"]


async def raw(plant: Plant, *headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request for all trades on a connection of its own."""
    port = int(plant.address.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**12)
    lines = (f"GET {TRADES}?format=csv HTTP/1.1", "Host: 127.0.0.1", *headers, "", "")
    writer.write("\r\n".join(lines).encode())
    return reader, writer


async def test_a_stream_is_compressed_part_by_part(plant: Plant) -> None:
    plain = (await plant.http.get(f"{TRADES}?format=csv", headers={"accept-encoding": "identity"})).content
    reader, writer = await raw(plant, "Accept-Encoding: gzip", "Connection: close")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"content-encoding: gzip" in head.lower()
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append((await reader.readexactly(size + 2))[:-2])
    writer.close()
    assert gzip.decompress(b"".join(parts)) == plain
    first = zlib.decompressobj(31).decompress(parts[0])
    assert first.endswith(b"\r\n")
    assert plain.startswith(first)
    assert len(first) < len(plain)


async def test_a_slow_reader_holds_no_database_connection(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More clients that don't read than the pool has connections: others are still served."""
    monkeypatch.setattr(whole_lists, "_PAGE_LENGTH", 5)
    clients = [await raw(plant) for _ in range(20)]
    for reader, _ in clients:
        await reader.readuntil(b"\r\n\r\n")
    assert len((await plant.get(TRADES, limit=10))["trades"]) == 10
    for _, writer in clients:
        writer.transport.abort()
