"""The API with a replica for its reads: it may lag as long as it likes."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from api_plant import PARTITIONS, Plant, live, running_plant, trade, update
from conftest import on_one_variant

from db.migrate import migrate

pytestmark = on_one_variant

TRADES = "trades:binance:BTCUSDT"


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    """A plant whose replica has stood still since two trades were stored."""
    replica_url = f"{database_url}_replica"
    name = replica_url.rpartition("/")[2]
    admin = await asyncpg.connect(database_url)
    await admin.execute(f"create database {name}")
    await migrate(replica_url, partitions=PARTITIONS, extension="off")
    async with running_plant(redis_url, database_url, database_read_url=replica_url) as running:
        await live(running)
        replica = Plant(running.address, running.services, redis_url, replica_url)
        await running.publish(update(trade(1), trade(2), entry="1-0"))
        for each in (running, replica):
            await each.store(trade(1), trade(2), entry="1-0")
        await replica.close()
        yield running
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


async def test_what_a_replica_lacks_follows_by_the_cursor_of_its_answer(plant: Plant) -> None:
    await plant.publish(update(trade(3), entry="2-0"))
    await plant.store(trade(3), entry="2-0")
    await plant.publish(update(trade(4), entry="3-0"))
    await plant.caught_up()
    answer = await plant.get("/api/v1/trades/binance:BTCUSDT")
    assert [view["trade_id"] for view in answer["trades"]] == [1, 2]
    async with plant.socket() as socket:
        ack = await socket.subscribe(TRADES, since=answer["cursor"])
        assert ack["type"] == "ack"
        assert (await socket.receive_until("resumed"))["channel"] == TRADES
        found = [(await socket.receive_until("trades"))["data"] for _ in range(2)]
    assert [view["trade_id"] for views in found for view in views] == [3, 4]


async def test_a_websocket_joins_what_is_committed_and_not_what_a_replica_has(plant: Plant) -> None:
    await plant.store(trade(3), entry="2-0")
    async with plant.socket() as socket:
        await socket.subscribe(TRADES)
        snapshot = await socket.receive_until("snapshot", TRADES)
    assert snapshot["data"][-1]["trade_id"] == 3


async def test_health_reports_an_unavailable_replica(redis_url: str, database_url: str) -> None:
    nowhere = "postgresql://127.0.0.1:1/nothing"
    async with running_plant(redis_url, database_url, database_read_url=nowhere) as plant:
        await live(plant)
        assert (await plant.http.get("/health/ready")).status_code == 503
        assert (await plant.http.get("/api/v1/trades/binance:BTCUSDT")).status_code == 503
