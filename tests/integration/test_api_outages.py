"""Redis and the database away and back: what is answered meanwhile, and that everything goes on by itself."""

import asyncio
import os
import signal
from typing import Any

import pytest
from api_plant import Plant, candle, live, running_plant, trade, update
from conftest import PARTITIONS, OwnPostgres, OwnRedis, on_one_variant
from stored import fetch_rows
from working import until

from db.migrate import migrate
from tickplant.streams import live_stream, prices_key

TRADES = "trades:binance:BTCUSDT"
PRICE = "price:binance:BTCUSDT"
CANDLES = "candles:binance:BTCUSDT:1m"
STATS = "stats:binance:BTCUSDT"


async def answered(plant: Plant, path: str, status: int) -> Any:
    """Ask until the status comes, which it must before long."""
    async with asyncio.timeout(20):
        while True:
            answer = await plant.http.get(path)
            if answer.status_code == status:
                return answer
            await asyncio.sleep(0.05)


@on_one_variant
async def test_redis_becomes_unavailable_and_recovers(own_redis: OwnRedis, database_url: str) -> None:
    server = await own_redis()
    async with running_plant(server.url, database_url) as plant, plant.socket() as socket:
        await live(plant)
        await plant.store(trade(1))
        await plant.publish(update(trade(1), candles=[candle(count=1)]))
        await socket.subscribe(TRADES, PRICE)
        await socket.receive_until("snapshot", PRICE)

        await server.stop()
        assert (await socket.receive_until("status"))["state"] == "stalled"
        refused = await answered(plant, "/api/v1/price/BTCUSDT", 503)
        assert refused.json()["code"] == "unavailable"
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.headers["content-type"] == "application/problem+json"
        history = await plant.get("/api/v1/trades/BTCUSDT")  # needs the database only
        assert len(history["trades"]) == 1
        assert history["cursor"] is None
        report = await plant.get("/health/ready", 503)
        assert (report["redis"]["status"], report["database"]["status"]) == ("down", "up")
        await plant.get("/health/live")
        await socket.ask(op="subscribe", id=7, channels=[CANDLES])
        error = await socket.receive_until("error")
        assert (error["id"], error["code"]) == (7, "unavailable")

        await server.start()
        assert (await socket.receive_until("status"))["state"] == "live"
        await answered(plant, "/health/ready", 200)
        await plant.publish(update(trade(2), entry="2-0"))
        assert (await socket.receive_until("trades"))["data"][0]["trade_id"] == 2
        await plant.get("/api/v1/price/BTCUSDT")


@on_one_variant
async def test_a_server_that_refuses_is_reported_as_down(own_redis: OwnRedis, database_url: str) -> None:
    server = await own_redis()
    async with running_plant(server.url, database_url) as plant:
        await live(plant)
        await answered(plant, "/health/ready", 200)
        await plant.redis.try_exchange(("ACL", "SETUSER", "default", "-hgetall"))
        report = await plant.get("/health/ready", 503)
        assert (report["redis"]["status"], report["redis"]["error"]) == ("down", "NoPermissionError")
        assert (await plant.get("/health"))["database"]["status"] == "up"
        await plant.redis.try_exchange(("ACL", "SETUSER", "default", "+hgetall"))
        await answered(plant, "/health/ready", 200)

        await plant.services.pool.execute("alter table lease rename to away")
        report = await plant.get("/health/ready", 503)
        assert (report["database"]["status"], report["database"]["error"]) == ("down", "UndefinedTableError")
        await plant.services.pool.execute("alter table away rename to lease")
        await answered(plant, "/health/ready", 200)


@on_one_variant
async def test_updates_published_during_an_outage_are_sent_after_it(
    own_redis: OwnRedis, database_url: str
) -> None:
    """A Redis that only stops answering: the hub goes on by id, and clients notice nothing but a pause."""
    server = await own_redis()
    async with running_plant(server.url, database_url) as plant, plant.socket() as socket:
        await live(plant)
        await plant.publish(update(trade(1)))
        await socket.subscribe(TRADES)
        await socket.receive_until("snapshot")
        await plant.redis.client_kill_filter(_type="normal", skipme=True)
        for number in range(2, 50):
            await plant.publish(update(trade(number), entry=f"{number}-0"))
        seen: list[int] = []
        while len(seen) < 48:
            message = await socket.receive_until("trades")
            seen += [view["trade_id"] for view in message["data"]]
        assert seen == list(range(2, 50))


async def reading(plant: Plant) -> bool:
    """Whether a client waits for updates: only the loss of its connection lets it look for what it missed."""
    clients: Any = await plant.redis.client_list()
    return any(client["cmd"] == "xread" and "b" in client["flags"] for client in clients)


@on_one_variant
async def test_updates_lost_during_an_outage_are_reported_as_lost(
    own_redis: OwnRedis, database_url: str
) -> None:
    """The stream no longer holds where the hub was: every subscriber gets a snapshot that says so."""
    server = await own_redis()
    async with running_plant(server.url, database_url) as plant, plant.socket() as socket:
        await live(plant)
        await plant.publish(update(trade(1), candles=[candle(count=1)]))
        await socket.subscribe(TRADES, PRICE, CANDLES)
        for _ in range(3):
            await socket.receive_until("snapshot")
        await plant.publish(update(trade(1), candles=[candle(count=1)]))
        await plant.caught_up()
        await until(lambda: reading(plant), "the hub waits for the next update")
        pipeline = plant.redis.pipeline(transaction=True)
        pipeline.client_kill_filter(_type="normal", skipme=True)
        pipeline.delete(live_stream(3), prices_key(3))
        await pipeline.execute()
        await plant.store(trade(1), trade(2), entry="2-0")
        snapshots: dict[str, Any] = {}
        while len(snapshots) < 3:
            message = await socket.receive_until("snapshot")
            snapshots[message["channel"]] = message
        assert all(message["recovered"] is False for message in snapshots.values())
        await plant.publish(update(trade(3), entry="3-0"))
        assert (await socket.receive_until("trades"))["data"][0]["trade_id"] == 3


async def test_the_database_becomes_unavailable_and_recovers(
    redis_url: str, own_postgres: OwnPostgres
) -> None:
    server = await own_postgres()
    await migrate(server.url, partitions=PARTITIONS)
    async with running_plant(redis_url, server.url) as plant, plant.socket() as socket:
        await live(plant)
        await plant.store(trade(1))
        await plant.publish(update(trade(1)))
        await plant.get("/api/v1/trades/BTCUSDT")
        await socket.subscribe(PRICE, STATS)

        await server.stop()
        for path in (
            "/api/v1/trades/BTCUSDT",
            "/api/v1/ohlcv/BTCUSDT",
            "/api/v1/24h-change",
            "/api/v1/symbols",
        ):
            refused = await answered(plant, path, 503)
            assert refused.json()["code"] == "unavailable"
            assert int(refused.headers["Retry-After"]) > 0
        assert (await plant.get("/api/v1/price/BTCUSDT"))["trade_id"] == 1  # needs Redis only
        assert (await plant.get("/health/ready", 503))["database"]["status"] == "down"
        for channel in (TRADES, STATS):
            await socket.ask(op="subscribe", id=7, channels=[channel])
            assert (await socket.receive_until("error"))["code"] == "unavailable"
        await plant.publish(update(trade(2), entry="2-0"))
        assert (await socket.receive_until("price"))["data"]["trade_id"] == 2  # what is live goes on

        await server.start()
        for path in ("/api/v1/trades/BTCUSDT", "/api/v1/ohlcv/BTCUSDT", "/api/v1/symbols", "/health/ready"):
            await answered(plant, path, 200)
        await socket.subscribe(TRADES)
        snapshot = await socket.receive_until("snapshot", TRADES)
        assert [view["trade_id"] for view in snapshot["data"]] == [1, 2]
        await plant.store(trade(2))
        assert (await socket.receive_until("stats"))["data"]["trade_count"] == 2


async def test_a_database_that_hangs_is_unavailable(
    redis_url: str, own_postgres: OwnPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("api.health", "api.open_services", "api.queries.history"):
        monkeypatch.setattr(f"{module}.TIMEOUT_S", 0.5)
    server = await own_postgres()
    await migrate(server.url, partitions=PARTITIONS, extension="off")
    async with running_plant(redis_url, server.url) as plant:
        await live(plant)
        await plant.get("/health/ready")
        rows = await fetch_rows(server.url, "select pid from pg_stat_activity where pid <> pg_backend_pid()")
        assert server.pid is not None
        frozen = [server.pid, *(row["pid"] for row in rows)]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            report = (await answered(plant, "/health/ready", 503)).json()
            assert (report["redis"]["status"], report["database"]["status"]) == ("up", "down")
            assert not await plant.services.health.can_serve()
            await answered(plant, "/api/v1/alerts", 503)
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        await answered(plant, "/health/ready", 200)


async def test_the_api_starts_before_its_servers(own_redis: OwnRedis, own_postgres: OwnPostgres) -> None:
    redis_server, postgres_server = await own_redis(), await own_postgres()
    await migrate(postgres_server.url, partitions=PARTITIONS)
    await redis_server.stop()
    await postgres_server.stop()
    async with running_plant(redis_server.url, postgres_server.url, followed=False) as plant:
        await plant.get("/health/live")
        await plant.get("/health/ready", 503)
        await plant.get("/api/v1/symbols", 503)
        await redis_server.start()
        await postgres_server.start()
        await answered(plant, "/health/ready", 200)
        await plant.get("/api/v1/symbols")
