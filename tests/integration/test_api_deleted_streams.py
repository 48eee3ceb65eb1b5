"""Streams deleted in Redis under live clients: each trade arrives once, or a snapshot says what was lost."""

import asyncio
from typing import Any

import asyncpg
from api_plant import Socket, live, running_plant
from conftest import PARTITIONS, on_one_variant
from working import START_US, publishing, stored_count, trade, until, working

from tickplant.market import SymbolId, Trade
from tickplant.streams import live_stream, partition_of, trades_stream

pytestmark = on_one_variant

AAA = SymbolId("binance", "AAAUSDT")
CHANNEL = f"trades:{AAA}"
PARTITION = partition_of(*AAA, PARTITIONS)

WAITING = "from pg_locks where relation = 'trades'::regclass and not granted"
"""The sessions that wait to write trades."""


def traded(first: int, last: int) -> list[Trade]:
    return [trade(number, at_us=START_US + number * 1000) for number in range(first, last + 1)]


def ids(message: dict[str, Any]) -> list[int]:
    return [view["trade_id"] for view in message["data"]]


async def trades_until(socket: Socket, last: int) -> list[int]:
    """The trades up to one, from the snapshot on that says that something was lost."""
    snapshot = await socket.receive_until("snapshot", CHANNEL)
    assert snapshot["recovered"] is False
    received = ids(snapshot)
    while last not in received:
        received += ids(await socket.receive_until("trades", CHANNEL))
    return received


async def test_trades_that_were_published_and_not_stored_come_again_after_a_notice(
    redis_url: str, database_url: str
) -> None:
    """Ingest fetches them from history, and their second publication is another entry."""
    blocking = await asyncpg.connect(database_url)
    async with (
        working(redis_url, database_url),
        running_plant(redis_url, database_url, symbols=[AAA]) as plant,
        publishing(redis_url) as publisher,
        plant.socket() as socket,
    ):
        await live(plant)
        await publisher.publish(traded(1, 10))

        async def stored() -> bool:
            return await stored_count(database_url) == 10

        await until(stored, "the first trades are stored")
        await socket.subscribe(CHANNEL)
        assert ids(await socket.receive_until("snapshot")) == list(range(1, 11))
        async with blocking.transaction():
            await blocking.execute("lock table trades in exclusive mode")
            await publisher.publish(traded(11, 16))
            assert ids(await socket.receive_until("trades", CHANNEL))[-1] == 16

            async def waiting() -> bool:
                return bool(await blocking.fetchval(f"select count(*) {WAITING}"))

            await until(waiting, "the commit waits")
            await plant.redis.delete(trades_stream(PARTITION))
            await blocking.execute(f"select pg_terminate_backend(pid) {WAITING}")
        await publisher.publish(traded(17, 18))
        await publisher.publish(traded(11, 16))
        await publisher.publish(traded(19, 20))
        received = await trades_until(socket, 20)
        assert sorted(received) == sorted(set(received))
        assert {*range(11, 21)} <= {*received}
        assert await trades_of_a_new_client(plant.socket()) == {*range(1, 21)}
    await blocking.close()


async def trades_of_a_new_client(connecting: Any) -> set[int]:
    async with asyncio.timeout(10), connecting as socket:
        await socket.subscribe(CHANNEL)
        received = ids(await socket.receive_until("snapshot", CHANNEL))
        assert len(received) == len(set(received))
        return set(received)


async def test_a_deleted_live_stream_loses_nothing_without_a_notice(
    redis_url: str, database_url: str
) -> None:
    """Updates that the API has not read yet are gone."""
    async with (
        working(redis_url, database_url),
        running_plant(redis_url, database_url, symbols=[AAA]) as plant,
        publishing(redis_url) as publisher,
        plant.socket() as socket,
    ):
        await live(plant)
        await publisher.publish(traded(1, 10))
        await socket.subscribe(CHANNEL)
        received: list[int] = []
        while 10 not in received:
            message = await socket.receive()
            received += ids(message) if message.get("channel") == CHANNEL else []
        for first in range(11, 211, 10):
            await publisher.publish(traded(first, first + 9))
            if first == 101:
                await plant.redis.delete(live_stream(PARTITION))
            await asyncio.sleep(0.002)
        received = await trades_until(socket, 210)
        assert received == list(range(received[0], 211))
