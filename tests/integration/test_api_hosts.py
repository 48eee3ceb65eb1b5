"""Only requests for the API's own hosts are answered, over HTTP and websockets alike."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from api_plant import Plant, live, running_plant
from conftest import on_one_variant
from websockets import Origin
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

pytestmark = on_one_variant

EVIL = "evil.example"
ALERT = json.dumps({"symbol": "BTCUSDT", "kind": "gap"}).encode()


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url, hosts=["plant.example.org"]) as running:
        await live(running)  # or a websocket would begin with a notice
        yield running


async def exchange(plant: Plant, *lines: str, body: bytes = b"") -> tuple[int, Any]:
    """Send a request as it stands; return the status and the body, decoded if it is JSON."""
    host, port = plant.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    length = [f"content-length: {len(body)}", "content-type: application/json"] if body else []
    writer.write("\r\n".join([*lines, *length, "connection: close", "", ""]).encode() + body)
    head, _, content = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), json.loads(content) if b"json" in head else content


@asynccontextmanager
async def open_socket(plant: Plant, authority: str, path: str = "/ws") -> AsyncIterator[ClientConnection]:
    """Open a websocket for some host, as a page of that host would once its name resolves to here."""
    host, port = plant.address.removeprefix("http://").split(":")
    origin = Origin(f"http://{authority}")
    async with connect(f"ws://{authority}{path}", host=host, port=int(port), origin=origin) as connection:
        yield connection


ROUTES = [
    "/",
    "/docs",
    "/docs/openapi.json",
    "/metrics",
    "/health",
    "/health/live",
    "/api/v1/symbols",
    "/nowhere",
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_no_path_is_answered_for_another_host(plant: Plant, method: str) -> None:
    for path in ROUTES:
        answer = await plant.http.request(method, path, headers={"host": EVIL})
        assert answer.status_code == 421, path
        if method != "HEAD":
            assert answer.json()["code"] == "host_refused"
            assert "TICKPLANT_API_HOSTS" in answer.json()["detail"]


async def test_nothing_is_changed_for_another_host(plant: Plant) -> None:
    origin = {"host": EVIL, "origin": f"http://{EVIL}"}
    for method, path, body in (
        ("POST", "/api/v1/alerts", {"symbol": "BTCUSDT", "kind": "gap"}),
        ("PATCH", "/api/v1/bot", {"enabled": False}),
    ):
        answer = await plant.http.request(method, path, json=body, headers=origin)
        assert answer.status_code == 421
    assert (await plant.get("/api/v1/alerts"))["alerts"] == []
    assert (await plant.get("/api/v1/bot"))["switch"]["version"] == 0


@pytest.mark.parametrize("path", ["/ws", "/ws/price/BTCUSDT", "/ws/nowhere"])
async def test_no_websocket_is_opened_for_another_host(plant: Plant, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with open_socket(plant, f"{EVIL}:8080", path):
            pass
    assert refused.value.response.status_code == 421
    assert json.loads(refused.value.response.body)["code"] == "host_refused"


async def test_hosts_of_the_settings_are_answered(plant: Plant) -> None:
    for host in ("plant.example.org", "Plant.Example.org.:443", "localhost:1", "10.1.2.3:8080", "[::1]"):
        answer = await plant.http.get("/health/live", headers={"host": host, "x-forwarded-host": EVIL})
        assert answer.status_code == 200, host
    async with open_socket(plant, "plant.example.org") as socket:
        await socket.send('{"op":"ping","id":1}')
        assert json.loads(await socket.recv()) == {"type": "pong", "id": 1}


async def test_a_forwarded_host_does_not_stand_in_for_the_host(plant: Plant) -> None:
    for name in ("x-forwarded-host", "forwarded", "x-host", "x-original-host"):
        answer = await plant.http.get("/health/live", headers={"host": EVIL, name: "localhost"})
        assert answer.status_code == 421, name


async def test_a_health_check_without_a_host_is_answered(plant: Plant) -> None:
    assert (await exchange(plant, "GET /health/live HTTP/1.0"))[0] == 200


async def test_a_second_host_is_refused(plant: Plant) -> None:
    for version in ("1.0", "1.1"):
        status, _ = await exchange(plant, f"GET / HTTP/{version}", "host: localhost", f"host: {EVIL}")
        assert status in (400, 421)


async def test_a_target_that_is_a_whole_url_counts_as_the_host(plant: Plant) -> None:
    status, body = await exchange(plant, f"GET http://{EVIL}/health/live HTTP/1.1", "host: localhost")
    assert (status, body["code"]) == (421, "host_refused")
    status, body = await exchange(plant, "GET http://localhost/health/live HTTP/1.1", f"host: {EVIL}")
    assert (status, body["code"]) == (421, "host_refused")
    status, body = await exchange(plant, "GET http://localhost:80/health/live HTTP/1.1", "host: localhost")
    assert (status, body) == (200, {"status": "live"})
    status, _ = await exchange(
        plant, f"POST http://{EVIL}/api/v1/alerts HTTP/1.1", "host: localhost", body=ALERT
    )
    assert status == 421
