"""Connections that are too many, idle or half open end, with a reason."""

import asyncio
import struct
from typing import Any

import pytest
from api_plant import Plant, live, running_plant
from conftest import on_one_variant
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.live.gate import WebsocketLimits
from tickplant import metrics

pytestmark = on_one_variant

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def without_clients(plant: Plant) -> None:
    async with asyncio.timeout(15):
        while len(plant.services.hub.clients):  # noqa: ASYNC110 - a condition of the server's
            await asyncio.sleep(0.01)


async def test_connections_of_one_address_are_limited(redis_url: str, database_url: str) -> None:
    limits = WebsocketLimits(per_address=2)
    before = metrics.API_TURNED_AWAY.labels("too_many_connections")._value.get()

    def forwarded(address: str) -> dict[str, Any]:
        return {"additional_headers": {"X-Forwarded-For": f"198.51.100.1, {address}"}}

    async with running_plant(redis_url, database_url, limits=limits, proxies=["127.0.0.1"]) as plant:
        await live(plant)
        async with (
            plant.socket(**forwarded("2001:db8::1")) as socket,
            plant.socket(**forwarded("2001:db8::2")),
        ):
            with pytest.raises(InvalidStatus) as refusal:
                async with plant.socket(**forwarded("2001:db8::3")):
                    pass
            response = refusal.value.response
            assert response.status_code == 429
            assert "Retry-After" in response.headers
            assert b"too_many_connections" in response.body
            assert b"2001:db8::/64 has 2 connections" in response.body
            for path in ("/ws/price/BTCUSDT", "/binance/ws/btcusdt@trade"):
                with pytest.raises(InvalidStatus):
                    async with plant.socket(path, **forwarded("2001:db8::3")):
                        pass
            async with plant.socket(**forwarded("2001:db8:0:1::1")):
                pass
            async with plant.socket(), plant.socket(), plant.socket() as of_this_machine:
                await of_this_machine.ask(op="ping", id=1)
                assert (await of_this_machine.receive())["type"] == "pong"
            await socket.ask(op="ping", id=2)
            assert (await socket.receive())["type"] == "pong"
        await without_clients(plant)
        async with plant.socket(**forwarded("2001:db8::4")), plant.socket(**forwarded("2001:db8::5")):
            pass
        text = (await plant.http.get("/metrics")).text
        counted = 'tickplant_api_turned_away_clients_total{reason="too_many_connections"}'
        assert f"{counted} {before + 3}" in text


async def test_a_client_that_wants_nothing_is_closed(redis_url: str, database_url: str) -> None:
    async with running_plant(redis_url, database_url, limits=WebsocketLimits(idle_s=0.3)) as plant:
        await live(plant)
        # Subscribed by its address: a request could come too late on a busy machine.
        async with plant.socket("/ws/price/BTCUSDT") as subscribed, plant.socket() as idle:
            with pytest.raises(ConnectionClosed):
                await idle.connection.recv()
            assert idle.connection.close_code == 4009
            assert idle.connection.close_reason == "no channel and no request for 0.3 s"
            await subscribed.ask(op="unsubscribe", id=2, channels=["price:BTCUSDT"])
            while (await subscribed.receive_until("ack"))["op"] != "unsubscribe":
                pass
            with pytest.raises(ConnectionClosed):
                await subscribed.connection.recv()
            assert subscribed.connection.close_code == 4009


async def test_a_half_open_connection_ends(redis_url: str, database_url: str) -> None:
    """A peer that acknowledges every packet, and answers no ping."""
    async with running_plant(redis_url, database_url, ping_s=0.5) as plant:
        await live(plant)
        host, _, port = plant.address.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(15), plant.socket() as answering:
            assert (await reader.readexactly(6))[:2] == b"\x89\x04"
            first, length = await reader.readexactly(2)
            assert first == 0x88
            payload = await reader.readexactly(length)
            assert struct.unpack("!H", payload[:2]) == (1011,)
            assert payload[2:] == b"keepalive ping timeout"
            while len(plant.services.hub.clients) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await answering.ask(op="ping", id=1)
            assert (await answering.receive())["type"] == "pong"
        writer.close()
        await without_clients(plant)
