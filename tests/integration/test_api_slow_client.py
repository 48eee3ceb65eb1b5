"""A client that doesn't read slows no other, costs little memory, and is notified of what it loses."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from api_plant import Plant, Socket, candle, live, running_plant, trade, update
from conftest import on_one_variant
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from api.live.gate import WebsocketLimits

pytestmark = on_one_variant

PRICE = "price:binance:BTCUSDT"
TRADES = "trades:binance:BTCUSDT"
CANDLES = "candles:binance:BTCUSDT:1m"
QUEUE_BYTES = 200_000
BATCH = 500
BATCHES = 120
"""Together more than the kernel's buffers take in."""


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    limits = WebsocketLimits(queue_bytes=QUEUE_BYTES)
    # Without pings: a client that does not read answers none, and a slow machine would take too long.
    async with running_plant(redis_url, database_url, limits=limits, ping_s=600) as running:
        await live(running)
        yield running


@asynccontextmanager
async def narrow_socket(plant: Plant) -> AsyncIterator[Socket]:
    """A client whose kernel and library take in little of what it doesn't read."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    host, port = plant.address.removeprefix("http://").split(":")
    await asyncio.get_running_loop().sock_connect(raw, (host, int(port)))
    url = f"ws://{host}:{port}/ws"
    async with connect(
        url, sock=raw, max_size=None, max_queue=1, compression=None, ping_interval=None
    ) as connection:
        yield Socket(connection)


def client_of(plant: Plant, channel: str) -> Any:
    """The hub's side of the one client that has a channel."""
    clients = plant.services.hub.clients
    (found,) = [client for client in clients if channel in map(str, client.channels)]
    return found


async def test_a_client_with_too_many_pending_trades_is_closed_and_can_resume(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another client gets every trade at once; the slow one gets the rest after it reconnects."""
    monkeypatch.setattr("api.live.direct_write.LINGER_S", 600)  # the slow one reads when all is sent
    async with narrow_socket(plant) as slow, plant.socket() as quick:
        for each in (slow, quick):
            await each.subscribe(TRADES)
            await each.receive_until("snapshot")
        seen: list[int] = []
        for number in range(BATCHES):
            trades = [trade(number * BATCH + index) for index in range(BATCH)]
            await plant.publish(update(*trades, entry=f"{number + 1}-0"))
            message = await quick.receive_until("trades")
            seen += [view["trade_id"] for view in message["data"]]
        assert seen == list(range(BATCH * BATCHES))
        slow_seen: list[int] = []
        cursor = ""

        async def read_on() -> None:
            nonlocal cursor
            while True:
                message = await slow.receive()
                cursor = message["cursor"]
                slow_seen.extend(view["trade_id"] for view in message["data"])

        with pytest.raises(ConnectionClosed) as closed:
            await read_on()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4008
    assert closed.value.rcvd.reason == f"too slow; subscribe again with since={cursor}"
    async with plant.socket() as again:
        await again.subscribe(TRADES, since=cursor)
        await again.receive_until("resumed")
        while len(slow_seen) < len(seen):
            slow_seen += [view["trade_id"] for view in (await again.receive_until("trades"))["data"]]
    assert slow_seen == seen


async def test_prices_and_candles_are_replaced_by_newer_ones(plant: Plant) -> None:
    updates = 2000
    async with narrow_socket(plant) as slow:
        await slow.subscribe(PRICE, CANDLES)
        for _ in range(2):
            await slow.receive_until("snapshot")
        client = client_of(plant, PRICE)
        most_bytes = 0
        for number in range(1, updates + 1):
            await plant.publish(update(prices=[trade(number)], candles=[candle(count=1, trade_count=number)]))
            most_bytes = max(most_bytes, client._size_bytes)
        await plant.caught_up()
        assert 0 < most_bytes < 2_000  # one price and one candle
        received = 0
        last: dict[str, int] = {}
        while set(last.values()) != {updates} or len(last) < 2:
            message = await slow.receive()
            view = message["data"]
            last[message["type"]] = view["trade_id"] if message["type"] == "price" else view["trade_count"]
            received += 1
    assert received < updates  # of twice as many


async def test_a_client_that_never_reads_again_is_cut_off(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.live.direct_write.LINGER_S", 0.1)
    async with narrow_socket(plant) as slow:
        await slow.subscribe(TRADES)
        await slow.receive_until("snapshot")
        number = 0
        async with asyncio.timeout(20):
            while plant.services.hub.clients:
                number += 1
                trades = [trade(number * 500 + index) for index in range(500)]
                await plant.publish(update(*trades, entry=f"{number}-0"))
                await plant.caught_up()
        slow.connection.transport.abort()


async def test_a_client_that_resumes_slowly_is_waited_for(plant: Plant) -> None:
    """More was missed than a client's queue holds: it is sent as fast as the client reads."""
    async with plant.socket() as socket:
        await socket.subscribe(TRADES)
        await plant.publish(update(trade(0)))
        cursor = (await socket.receive_until("trades"))["cursor"]
    for number in range(BATCHES):
        trades = [trade(1 + number * BATCH + index) for index in range(BATCH)]
        await plant.publish(update(*trades, entry=f"{number + 2}-0"))
    async with narrow_socket(plant) as slow:
        await slow.subscribe(TRADES, since=cursor)
        seen: list[int] = []
        while len(seen) < BATCH * BATCHES:
            seen += [view["trade_id"] for view in (await slow.receive_until("trades"))["data"]]
    assert seen == list(range(1, BATCH * BATCHES + 1))


async def test_clients_that_resume_slowly_block_no_other_from_resuming(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.subscribe(TRADES)
        await plant.publish(update(trade(0)))
        cursor = (await socket.receive_until("trades"))["cursor"]
    for number in range(BATCHES // 4):
        trades = [trade(1 + number * BATCH + index) for index in range(BATCH)]
        await plant.publish(update(*trades, entry=f"{number + 2}-0"))
    async with (
        narrow_socket(plant) as one,
        narrow_socket(plant) as two,
        narrow_socket(plant) as three,
        narrow_socket(plant) as four,
        plant.socket() as quick,
    ):
        for slow in (one, two, three, four):
            await slow.subscribe(TRADES, since=cursor)
            await slow.receive_until("resumed")  # and no more than that
        await quick.subscribe(TRADES, since=cursor)
        seen = 0
        while seen < BATCH * (BATCHES // 4):
            seen += len((await quick.receive_until("trades"))["data"])
        for slow in (one, two, three, four):
            slow.connection.transport.abort()
