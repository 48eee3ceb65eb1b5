"""Random and malformed websocket input: each client is answered or closed, and nothing is left behind."""

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from api_plant import Plant, Socket, live, running_plant, trade, update
from conftest import on_one_variant
from websockets.exceptions import ConnectionClosed

from api.live.gate import WebsocketLimits

pytestmark = on_one_variant

ROUNDS = int(os.environ.get("TICKPLANT_TEST_EXAMPLES", "40"))
SEED = int(os.environ.get("TICKPLANT_TEST_SEED", "12"))
CLIENTS_AT_ONCE = 8

OPS: list[Any] = ["subscribe", "unsubscribe", "ping", "auth", "", "SUBSCRIBE", None, 7, [], "\0"]
NAMES = ["price:BTCUSDT", "trades:binance:ETHUSDT", "candles:BTCUSDT:1m", "gaps", "alerts", "connections"]
NAMES += [
    "candles:BTCUSDT:9m",
    "price:*",
    ":",
    "price:" + "X" * 5000,
    "stats:BTCUSDT",
    "\u202e",
    "price:é",
    "",
]
SCALARS: list[Any] = [None, True, 0, -1, 2**70, 1e308, "", "0.0", "3.1795167827449-0.n0", "x" * 3000, {}, []]


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    limits = WebsocketLimits(burst=1000, channels=50)
    async with running_plant(redis_url, database_url, limits=limits) as running:
        await live(running)
        yield running


def message(rng: random.Random) -> str | bytes:
    """A request that is often nearly right."""
    request: dict[str, Any] = {"op": rng.choice(OPS)}
    if rng.random() < 0.8:
        request["channels"] = rng.choices([*NAMES, *SCALARS], k=rng.randrange(6))
    for field in ("id", "since", "key", "channels", "every", "snapshot"):
        if rng.random() < 0.2:
            request[field] = rng.choice([*SCALARS, {rng.choice(NAMES): rng.choice(SCALARS)}])
    text = json.dumps(request)
    if rng.random() < 0.2:
        cut = rng.randrange(len(text))
        text = text[:cut] + rng.choice(["", "[" * 2000, "\\ud800", "\0", "}"]) + text[cut + 1 :]
    return text.encode() if rng.random() < 0.2 else text


def frame(rng: random.Random) -> bytes:
    """Bytes on the wire that are no message of the protocol."""
    kinds: list[Callable[[], bytes]] = [
        lambda: rng.randbytes(rng.randrange(1, 200)),
        lambda: b"\x81\x85" + rng.randbytes(4) + b"hello",  # text under a random mask
        lambda: b"\x81\x05hello",  # no mask
        lambda: b"\x89\xfe\xff\xff" + rng.randbytes(4),  # a long ping
        lambda: b"\x82\xff" + b"\x7f" + b"\xff" * 7 + rng.randbytes(4),  # 2^63 bytes
        lambda: b"\x01\x81" + rng.randbytes(5) + b"\x81\x81" + rng.randbytes(5),  # a fragment, then a text
        lambda: b"\xf1\x80" + rng.randbytes(4),  # reserved bits
        lambda: b"\x88\x81" + rng.randbytes(5),  # a close code of one byte
    ]
    return rng.choice(kinds)()


async def answered(socket: Socket, number: int) -> None:
    """Wait for the answer to a ping; a client that was closed has been answered, too."""
    try:
        await socket.ask(op="ping", id=f"last {number}")
        while (await socket.receive()).get("id") != f"last {number}":
            pass
    except ConnectionClosed:
        pass


async def misbehave(plant: Plant, rng: random.Random, number: int) -> None:
    """One client, from its handshake to its end, which is as random as what it sends."""
    paths = ["/ws", "/ws", "/ws/price/BTCUSDT", "/ws/ohlcv/BTCUSDT?interval=1m", "/ws?format=msgpack"]
    path = rng.choice(paths)
    async with plant.socket(path, ping_interval=None, close_timeout=0.1) as socket:
        try:
            for _ in range(rng.randrange(1, 12)):
                await socket.connection.send(message(rng))
        except ConnectionClosed:
            return
        if rng.random() < 0.4:
            socket.connection.transport.write(frame(rng))
            if rng.random() < 0.5:
                socket.connection.transport.abort()
                return
            socket.connection.transport.write_eof()
            await socket.connection.wait_closed()
        elif "msgpack" not in path and rng.random() < 0.5:
            await answered(socket, number)
        else:
            socket.connection.transport.abort()


async def test_no_input_hangs_a_client_or_leaves_anything_behind(plant: Plant) -> None:
    rng = random.Random(SEED)
    hub = plant.services.hub
    tasks_before = len(asyncio.all_tasks())
    async with plant.socket() as witness:
        await witness.subscribe("price:BTCUSDT")
        await witness.receive_until("snapshot")
        for number in range(1, ROUNDS + 1):
            seeds = [rng.random() for _ in range(CLIENTS_AT_ONCE)]
            async with asyncio.timeout(60):
                await asyncio.gather(*(misbehave(plant, random.Random(seed), number) for seed in seeds))
            await plant.publish(update(trade(number)))
            assert (await witness.receive_until("price"))["data"]["trade_id"] == number, f"seed {SEED}"
    async with asyncio.timeout(30):
        while len(hub.clients) or len(asyncio.all_tasks()) > tasks_before:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    topics = [topic for partition in hub._partitions for topic in partition.topics.values()]
    assert [topic.name for topic in topics if topic.users or topic.sinks or topic.loading] == []
    assert not plant.services.access.keys._watchers
    assert not hub._resubscribing
