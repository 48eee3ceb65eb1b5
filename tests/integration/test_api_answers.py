"""What all answers have in common: HEAD, Allow, compression, times."""

import gzip
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from api_plant import Plant, running_plant, trade
from conftest import on_one_variant

pytestmark = on_one_variant


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        await running.store(*(trade(number) for number in range(50)))
        yield running


def path_of(template: str) -> str:
    return template.format(symbol="BTCUSDT", alert_id="x", version="0", name="main.js")


async def test_head_answers_whatever_get_does_without_the_body(plant: Plant) -> None:
    document = await plant.get("/docs/openapi.json")
    for template in [path for path, item in document["paths"].items() if "get" in item] + ["/docs"]:
        got, head = [await plant.http.request(method, path_of(template)) for method in ("GET", "HEAD")]
        assert head.status_code == got.status_code, template
        assert head.content == b""
        assert head.headers["content-type"] == got.headers["content-type"]
        assert head.headers.get("vary") == got.headers.get("vary")
        assert "content-length" in head.headers


async def test_allow_names_every_method(plant: Plant) -> None:
    document = await plant.get("/docs/openapi.json")
    for template, item in document["paths"].items():
        allowed = {method.upper() for method in item} | {"OPTIONS"} | ({"HEAD"} if "get" in item else set())
        for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS"} - allowed | {
            "OPTIONS"
        }:
            answer = await plant.http.request(method, path_of(template))
            assert answer.status_code == (204 if method == "OPTIONS" else 405), (method, template)
            assert answer.headers["allow"] == ", ".join(sorted(allowed)), (method, template)


@pytest.mark.parametrize(
    ("accept", "compressed"),
    [
        ("gzip", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("*", True),
        ("identity", False),
        ("", False),
        ("gzip;q=0, *", False),
        ("gzip; q=0.000", False),
        ("gzipped", False),
        ("gzip;q=much", False),
    ],
)
async def test_longer_answers_are_compressed_where_the_client_takes_it(
    plant: Plant, accept: str, compressed: bool
) -> None:
    async def get(path: str, **headers: str) -> httpx.Response:
        return await plant.http.get(path, headers=headers)

    for path in ("/api/v1/trades/BTCUSDT", "/", "/docs", "/docs/openapi.json", "/metrics"):
        async with plant.http.stream("GET", path, headers={"accept-encoding": accept}) as answer:
            body = b"".join([part async for part in answer.aiter_raw()])
        assert ("content-encoding" in answer.headers) is compressed, path
        assert answer.headers["vary"] == "Accept-Encoding"
        assert int(answer.headers["content-length"]) == len(body)
        if compressed and path != "/metrics":
            assert gzip.decompress(body) == (await get(path, **{"accept-encoding": "identity"})).content
    short = await get("/health/live", **{"accept-encoding": accept})
    assert "content-encoding" not in short.headers


TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^\"]*")


async def test_every_time_has_six_digits(plant: Plant) -> None:
    await plant.http.post("/api/v1/alerts", json={"symbol": "BTCUSDT", "kind": "gap"})
    await plant.http.patch("/api/v1/bot", json={"enabled": False})
    seen = 0
    document = await plant.get("/docs/openapi.json")
    for template in [path for path, item in document["paths"].items() if "get" in item]:
        for text in TIME.findall((await plant.http.get(path_of(template))).text):
            assert re.fullmatch(r".{19}\.\d{6}Z", text), (template, text)
            seen += 1
    assert seen > 100


async def test_the_unit_of_an_epoch_time_follows_from_its_magnitude(plant: Plant) -> None:
    async def ids(start: Any) -> list[int]:
        return [
            view["trade_id"] for view in (await plant.get("/api/v1/trades/BTCUSDT", start=start))["trades"]
        ]

    expected = list(range(40, 50))
    for start in ("1723161280", "1723161280.0", "1723161280000", "1723161280000000", "2024-08-08T23:54:40Z"):
        assert await ids(start) == expected, start
