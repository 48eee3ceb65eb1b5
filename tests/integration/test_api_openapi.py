"""The OpenAPI document, its page, and the page of prices."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from api_plant import Plant, running_plant
from conftest import on_one_variant

from api.app import create_app
from api.http.table_formats import TABLE_FORMATS

pytestmark = on_one_variant

ELSEWHERE = ("/binance", "/openbb", "/udf")
"""Routes that others document."""


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        yield running


async def test_every_route_is_in_the_document(plant: Plant) -> None:
    document = await plant.get("/docs/openapi.json")
    routes = {
        route.path_format
        for route in create_app(plant.services).routes
        if not route.path.startswith(("/docs", *ELSEWHERE))
    }
    assert routes == set(document["paths"])
    assert {"/ws", "/ws/price/{symbol}", "/ws/ohlcv/{symbol}", "/metrics", "/api/v1/ohlcv/{symbol}"} <= routes


def operations(document: dict[str, Any], *methods: str) -> list[tuple[str, dict[str, Any]]]:
    """Each path with its operations, of some methods or all."""
    return [
        (path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if not methods or method in methods
    ]


async def test_everything_is_described(plant: Plant) -> None:
    document = await plant.get("/docs/openapi.json")
    for path, operation in operations(document):
        assert operation["summary"], path
        assert operation["description"], path
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (path, parameter["name"])
    tags = {tag["name"] for tag in document["tags"]}
    assert {tag for _, operation in operations(document) for tag in operation["tags"]} == tags


async def test_bodies_are_described_as_strictly_as_they_are_read(plant: Plant) -> None:
    schemas = (await plant.get("/docs/openapi.json"))["components"]["schemas"]
    for name in ("AlertRequest", "AlertPatch"):
        (schema,) = [schema for key, schema in schemas.items() if key.endswith(name)]
        assert schema["additionalProperties"] is False
        assert schema["properties"]["cooldown_s"]["minimum"] == 0
        kinds = {option["type"] for option in schema["properties"]["price"]["oneOf"]}
        assert {"string", "number"} <= kinds


async def test_errors_are_problem_documents(plant: Plant) -> None:
    document = await plant.get("/docs/openapi.json")
    for path, operation in operations(document):
        if path.startswith("/api/v1/"):
            assert "503" in operation["responses"], path
            for status, response in operation["responses"].items():
                kind = "application/json" if status < "300" else "application/problem+json"
                kinds = [] if status in ("204", "304") else [kind]
                names = [parameter["name"] for parameter in operation.get("parameters", ())]
                if status == "200" and "format" in names:
                    kinds += [table.media_type for table in TABLE_FORMATS.values()]
                assert list(response.get("content", {})) == kinds, (path, status)
        if "{symbol}" in path and path.startswith("/api/"):
            assert "404" in operation["responses"], path


async def test_examples_of_parameters_work(plant: Plant) -> None:
    document = await plant.get("/docs/openapi.json")
    made = await plant.http.post("/api/v1/alerts", json={"symbol": "BTCUSDT", "kind": "gap"})
    tried = 0
    for path, operation in operations(document, "get"):
        if not path.startswith("/api/v1/"):
            continue
        for parameter in operation.get("parameters", []):
            for example in (parameter.get("examples") or {}).values():
                values = {**made.json(), "symbol": "BTCUSDT", parameter["name"]: example["value"]}
                query = {parameter["name"]: example["value"]} if parameter["in"] == "query" else {}
                answer = await plant.http.get(path.format(**values), params=query)
                assert answer.status_code == 200 or answer.json()["code"] == "no_price", (path, values)
                tried += 1
    assert tried >= 8


async def test_examples_of_bodies_work(plant: Plant) -> None:
    document = await plant.get("/docs/openapi.json")
    alert = {"symbol": "BTCUSDT", "kind": "above", "price": "1"}
    tried = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for example in content.get("schema", {}).get("examples", []):
                made = (await plant.http.post("/api/v1/alerts", json=alert)).json()
                answer = await plant.http.request(method, path.format(**made), json=example)
                assert answer.status_code in (200, 201), (path, method, answer.text)
                tried += 1
    assert tried >= 4


async def test_pages_need_nothing_from_elsewhere(plant: Plant) -> None:
    for path in ("/", "/docs"):
        answer = await plant.http.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        loaded = re.sub(r"<a [^>]*>", "", answer.text)  # a link loads nothing
        assert not re.findall(r"""(?:src|href|url\(|import)\s*=?\s*["'(]?\s*(?:https?:)?//""", loaded)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
