"""Venue connections over REST and websockets: lost ones are reported."""

from collections.abc import AsyncIterator

import pytest
from api_plant import T0, Plant, live, running_plant
from conftest import OwnRedis, on_one_variant

from tickplant.streams import CONNECTIONS
from tickplant.wire import ConnectionStatus

pytestmark = on_one_variant

LIVE = ConnectionStatus("kraken/a:1/0", "kraken", ("BTC/USD", "ETH/USD"), "live", T0)
DOWN = ConnectionStatus("binance/a:1/0", "binance", ("BTCUSDT",), "down", T0 + 1_000, "OSError: gone")
KILLED = ConnectionStatus("binance/b:2/0", "binance", ("BTCUSDT",), "live", T0)
SEEN = [
    {
        "name": "binance/a:1/0",
        "venue": "binance",
        "symbols": ["binance:BTCUSDT"],
        "state": "down",
        "since": "2024-08-08T23:54:00.001000Z",
        "reason": "OSError: gone",
        "problems": [],
    },
    {
        "name": "kraken/a:1/0",
        "venue": "kraken",
        "symbols": ["kraken:BTC/USD", "kraken:ETH/USD"],
        "state": "live",
        "since": "2024-08-08T23:54:00.000000Z",
        "reason": None,
        "problems": [],
    },
]


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        await live(running)
        yield running


async def test_connections_by_name(plant: Plant) -> None:
    assert await plant.get("/api/v1/connections") == {"connections": []}
    await plant.report(LIVE)
    await plant.report(KILLED, ago_us=90_000_000)
    await plant.report(DOWN)
    await plant.redis.hset(CONNECTIONS, "other", b"\xc1")  # of a version that this one doesn't understand
    assert await plant.get("/api/v1/connections") == {"connections": SEEN}


async def test_a_connection_that_is_down_is_no_reason_to_stop_serving(plant: Plant) -> None:
    await plant.report(LIVE)
    assert (await plant.get("/health/ready"))["status"] == "ready"
    await plant.report(DOWN)
    for path in ("/health", "/health/ready"):
        report = await plant.get(path)
        assert (report["status"], report["connections"]) == ("degraded", SEEN)


async def test_a_client_is_notified_of_a_lost_and_a_restored_connection(plant: Plant) -> None:
    await plant.report(LIVE)
    async with plant.socket() as socket:
        assert (await socket.subscribe("connections"))["channels"] == ["connections"]
        snapshot = {"type": "snapshot", "channel": "connections", "data": SEEN[1:]}
        assert await socket.receive() == snapshot
        await plant.report(DOWN)
        assert await socket.receive() == {"type": "connections", "channel": "connections", "data": SEEN}
        await plant.redis.hdel(CONNECTIONS, DOWN.name)
        async with plant.socket() as other:
            await other.subscribe("connections", since="3.1-0")
            assert await other.receive() == snapshot
        assert (await socket.receive())["data"] == SEEN[1:]
        await socket.ask(op="unsubscribe", id=2, channels=["connections"])
        assert (await socket.receive())["type"] == "ack"
        await plant.report(DOWN)
        await socket.subscribe("connections")
        assert (await socket.receive())["data"] == SEEN


async def test_connections_are_unknown_while_redis_is_unavailable(
    own_redis: OwnRedis, database_url: str
) -> None:
    server = await own_redis()
    async with running_plant(server.url, database_url) as plant, plant.socket() as socket:
        await live(plant)
        await plant.report(DOWN)
        await socket.subscribe("connections")
        await socket.receive_until("snapshot")
        await server.stop()
        assert (await socket.receive_until("status"))["state"] == "stalled"
        assert (await plant.get("/api/v1/connections", 503))["code"] == "unavailable"
        report = await plant.get("/health/ready", 503)
        assert (report["status"], report["connections"]) == ("unready", [])
        async with plant.socket() as other:
            await other.ask(op="subscribe", id=1, channels=["connections"])
            assert (await other.receive_until("error"))["code"] == "unavailable"
        await server.start()
        assert (await socket.receive_until("status"))["state"] == "live"
        await plant.redis.delete(CONNECTIONS)
        await plant.report(LIVE)
        while (message := await socket.receive_until("connections"))["data"] != SEEN[1:]:
            assert message["data"] == []
