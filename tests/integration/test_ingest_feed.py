"""Frames to stream entries: a real socket, a real Redis, and what goes wrong between them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from conftest import PARTITIONS, OwnRedis
from websockets.asyncio.server import ServerConnection, serve
from working import until

from ingest import service
from tickplant import wire
from tickplant.clock import now_us
from tickplant.errors import FatalError
from tickplant.kernel import decode_trades
from tickplant.market import SymbolId, Trade
from tickplant.redis_agreement import agree_on_partitions
from tickplant.redis_client import open_redis
from tickplant.streams import CONNECTIONS, DEAD_LETTERS, partition_of, trades_stream

START_MS = 1_700_000_040_000
SYMBOL = SymbolId("binance", "BTCUSDT")
STREAM = trades_stream(partition_of(*SYMBOL, PARTITIONS))

Script = Callable[[ServerConnection], Awaitable[None]]


def frame(trade_id: int, **changes: object) -> str:
    payload = {
        "e": "trade",
        "E": START_MS,
        "s": "BTCUSDT",
        "t": trade_id,
        "p": "61837.63000000",
        "q": "0.02000000",
        "T": START_MS + trade_id,
        "m": True,
        "M": True,
    }
    return json.dumps({"stream": "btcusdt@trade", "data": payload | changes})


@asynccontextmanager
async def venue(script: Script) -> AsyncIterator[str]:
    """Run a venue that treats each client as the script does; yield its address."""
    async with serve(script, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def ingesting(redis_url: str, ws_url: str, *, budget: int = 10**9) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(
        service.run(
            redis_url=redis_url,
            symbols=[SYMBOL],
            addresses={"binance": service.VenueAddress(ws_url, "http://127.0.0.1:1")},
            partitions=PARTITIONS,
            stream_budget_trades=budget,
            stop=stop,
        )
    )
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


async def written(redis: Any) -> list[Trade]:
    entries = await redis.xrange(STREAM)
    return [t for _, fields in entries if wire.TRADES in fields for t in decode_trades(fields[wire.TRADES])]


async def written_ids(redis: Any) -> list[int]:
    return [trade.trade_id for trade in await written(redis)]


async def test_malformed_frames_are_dead_letters_and_the_socket_stays_open(
    redis_url: str, redis: Any
) -> None:
    async def script(client: ServerConnection) -> None:
        await client.send(frame(1))
        await client.send('{"e":"trade"')
        await client.send(b"\x00\xff binary")
        await client.send(frame(2, p="NaN"))
        await client.send(frame(3, s="OTHERUSDT"))
        await client.send('{"result":null,"id":1}')
        await client.send([frame(4)[:50], frame(4)[50:]])  # one message in two fragments
        await client.send(frame(5))
        await client.wait_closed()

    async with venue(script) as url, ingesting(redis_url, url):

        async def done() -> bool:
            return await written_ids(redis) == [1, 4, 5]

        await until(done, "the good trades written")
        letters = [fields for _, fields in await redis.xrange(DEAD_LETTERS)]
    assert [letter[b"payload"][:14] for letter in letters[:3]] == [
        b'{"e":"trade"',
        b"\x00\xff binary",
        frame(2)[:14].encode(),
    ]
    assert len(letters) == 4
    assert b"OTHERUSDT" in letters[3][b"reason"]
    assert all(letter[b"source"].startswith(b"binance/") for letter in letters)


async def test_a_lost_or_oversized_connection_is_opened_again(redis_url: str, redis: Any) -> None:
    attempts = 0

    async def script(client: ServerConnection) -> None:
        nonlocal attempts
        attempts += 1
        await client.send(frame(attempts))
        if attempts == 1:
            client.transport.abort()
        elif attempts == 2:
            await client.send("x" * 5_000_000)
        await client.wait_closed()

    async with venue(script) as url, ingesting(redis_url, url):

        async def done() -> bool:
            return await written_ids(redis) == [1, 2, 3]

        await until(done, "a trade of each connection")

        async def is_live() -> bool:
            states = [wire.decode_connection(value) for value in (await redis.hgetall(CONNECTIONS)).values()]
            return [(state.state, state.symbols) for state in states] == [("live", ("BTCUSDT",))]

        await until(is_live, "the connection is live")
    assert await redis.hgetall(CONNECTIONS) == {}


async def test_attempts_to_connect_keep_the_beginning_of_an_outage(redis_url: str, redis: Any) -> None:
    attempts_us: list[int] = []

    def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        attempts_us.append(now_us())
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, ingesting(redis_url, url):

        async def tried() -> bool:
            return len(attempts_us) > 2

        await until(tried, "three attempts")
        (state,) = [wire.decode_connection(value) for value in (await redis.hgetall(CONNECTIONS)).values()]
    assert state.state == "down"
    assert state.since_us <= attempts_us[1]


async def test_what_was_received_is_written_when_asked_to_stop(redis_url: str, redis: Any) -> None:
    sent = asyncio.Event()

    async def script(client: ServerConnection) -> None:
        for trade_id in range(1, 2_001):
            await client.send(frame(trade_id))
        sent.set()
        await client.wait_closed()

    async with venue(script) as url, ingesting(redis_url, url):
        await asyncio.wait_for(sent.wait(), 10)
    ids = await written_ids(redis)
    assert ids == list(range(1, len(ids) + 1))
    assert len(ids) >= 1


async def test_an_outage_of_redis_loses_nothing_and_keeps_the_order(own_redis: OwnRedis) -> None:
    server = await own_redis()
    redis: Any = open_redis(server.url)
    go_on = asyncio.Event()

    async def script(client: ServerConnection) -> None:
        for trade_id in range(1, 101):
            await client.send(frame(trade_id))
        await go_on.wait()
        for trade_id in range(101, 1_001):
            await client.send(frame(trade_id))
        await client.wait_closed()

    async with venue(script) as url, ingesting(server.url, url):

        async def first_part() -> bool:
            return len(await written_ids(redis)) >= 100

        await until(first_part, "trades before the outage")
        await server.kill()
        go_on.set()
        await asyncio.sleep(0.3)
        await server.start()

        async def all_there() -> bool:
            return set(await written_ids(redis)) == set(range(1, 1_001))

        await until(all_there, "trades sent during the outage")
        in_order = list(dict.fromkeys(await written_ids(redis)))
        assert in_order == list(range(1, 1_001))
    await redis.aclose()


async def test_a_socket_is_paused_while_workers_lag(redis_url: str, redis: Any) -> None:
    sent = 0
    total = 100_000

    async def script(client: ServerConnection) -> None:
        nonlocal sent
        for trade_id in range(1, total + 1):
            await client.send(frame(trade_id))
            sent = trade_id
        await client.wait_closed()

    async with venue(script) as url, ingesting(redis_url, url, budget=10_000):

        async def stalled() -> bool:
            before = sent
            await asyncio.sleep(0.5)
            return before == sent > 0

        await until(stalled, "the venue can't send any more")
        assert sent < total
        assert len(await written_ids(redis)) < 20_000
        taken = 0

        async def worker_takes_all() -> bool:
            nonlocal taken
            entries = await redis.xrange(STREAM)
            for entry_id, fields in entries:
                taken += len(decode_trades(fields[wire.TRADES])) if wire.TRADES in fields else 0
                await redis.xdel(STREAM, entry_id)
            return taken == total

        await until(worker_takes_all, "everything written after the workers have recovered", timeout_s=60)


async def test_the_venues_time_is_written_while_its_trades_come(
    redis_url: str, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.venue_clock.CLOCK_GRACE_US", 60_000_000)

    async def script(client: ServerConnection) -> None:
        await client.send(frame(1))
        await client.wait_closed()

    async with venue(script) as url, ingesting(redis_url, url):

        async def clock() -> list[wire.Clock]:
            entries = await redis.xrange(STREAM)
            return [wire.decode_clock(f[wire.CLOCK]) for _, f in entries if wire.CLOCK in f]

        await until(clock, "a clock entry")
        first = (await clock())[0]
        assert (first.venue, first.symbols) == ("binance", ("BTCUSDT",))
        assert first.time_us == (START_MS + 1) * 1000  # within the grace the clock stands at the last trade


async def test_an_unknown_venue_and_another_number_of_partitions_are_refused(redis_url: str) -> None:
    async def run(symbol: SymbolId, partitions: int) -> None:
        await service.run(
            redis_url=redis_url,
            symbols=[symbol],
            addresses={"binance": service.VenueAddress("ws://127.0.0.1:1", "http://127.0.0.1:1")},
            partitions=partitions,
            stream_budget_trades=1,
            stop=asyncio.Event(),
        )

    with pytest.raises(FatalError, match="nasdaq"):
        await run(SymbolId("nasdaq", "AAPL"), PARTITIONS)
    async with open_redis(redis_url) as redis:
        await agree_on_partitions(redis, PARTITIONS)
    with pytest.raises(FatalError, match="TICKPLANT_PARTITIONS"):
        await run(SYMBOL, PARTITIONS + 1)
