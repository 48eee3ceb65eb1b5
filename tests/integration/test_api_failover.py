"""Clients of the API while a replica that lacks commits is promoted: each trade once, and whole snapshots."""

from typing import Any

from api_plant import Plant, Socket, live, running_plant
from conftest import PARTITIONS, OwnPostgres
from replicas import address_of, disconnect, replica_of
from working import START_US, publishing, stored_count, trade, until, working

from db.migrate import migrate
from tickplant.market import SymbolId, Trade

AAA = SymbolId("binance", "AAAUSDT")
CHANNEL = f"trades:{AAA}"


def traded(first: int, last: int) -> list[Trade]:
    return [trade(number, at_us=START_US + number * 1000) for number in range(first, last + 1)]


def ids(message: dict[str, Any]) -> list[int]:
    return [view["trade_id"] for view in message["data"]]


async def trades_until(socket: Socket, last: int) -> list[int]:
    received: list[int] = []
    while last not in received:
        message = await socket.receive()
        assert message["type"] != "snapshot", "updates were lost"
        received += ids(message) if message.get("channel") == CHANNEL and "data" in message else []
    return received


async def trades_of_a_new_client(plant: Plant) -> list[int]:
    async with plant.socket() as socket:
        await socket.subscribe(CHANNEL)
        return ids(await socket.receive_until("snapshot", CHANNEL))


async def test_clients_get_each_trade_once_through_a_failover(
    redis_url: str, own_postgres: OwnPostgres
) -> None:
    primary = await own_postgres()
    await migrate(primary.url, partitions=PARTITIONS, extension="off")
    async with replica_of(primary) as replica:
        address = address_of([primary, replica])

        async def has(url: str, trades: int) -> bool:
            return await stored_count(url) == trades

        async with (
            working(redis_url, address),
            running_plant(redis_url, address, symbols=[AAA]) as plant,
            publishing(redis_url) as publisher,
            plant.socket() as socket,
        ):
            await live(plant)
            await publisher.publish(traded(1, 50))
            await until(lambda: has(primary.url, 50), "the first trades are stored")
            await socket.subscribe(CHANNEL)
            assert ids(await socket.receive_until("snapshot", CHANNEL)) == list(range(1, 51))
            await replica.follows()
            await disconnect(replica)
            for first in range(51, 81, 10):
                await publisher.publish(traded(first, first + 9))
            await until(lambda: has(primary.url, 80), "trades are stored that the replica lacks")
            await primary.kill()
            await replica.promote()
            # Whatever the database has by now, a new client gets the newest fifty.
            assert await trades_of_a_new_client(plant) == list(range(31, 81))
            await publisher.publish(traded(81, 100))
            await until(lambda: has(replica.url, 100), "everything is stored again")
            assert await trades_of_a_new_client(plant) == list(range(51, 101))
            assert await trades_until(socket, 100) == list(range(51, 101))
            answer = await plant.get(f"/api/v1/trades/{AAA}", limit=1000)
            assert ids({"data": answer["trades"]}) == list(range(1, 101))
