"""The API with a real streaming replica for its reads: its lag is measured, and what it lacks is live."""

import math
from typing import Any

from api_plant import PARTITIONS, live, running_plant, trade, update
from conftest import OwnPostgres
from prometheus_client import REGISTRY
from replicas import pause_replay, replica_of
from stored import fetch_value
from working import until

from db.migrate import migrate
from tickplant.cli.checks import check_surroundings
from tickplant.settings import Settings

TRADES = "trades:binance:BTCUSDT"


def gauge(name: str) -> float:
    value = REGISTRY.get_sample_value(f"tickplant_api_replica_lag_{name}")
    assert value is not None
    return value


async def test_a_replica_that_lags_is_measured_and_what_it_lacks_is_live(
    redis_url: str, own_postgres: OwnPostgres
) -> None:
    primary = await own_postgres()
    await migrate(primary.url, partitions=PARTITIONS, extension="off")

    async def judge() -> str:
        settings = Settings(redis_url=redis_url, database_url=primary.url, database_read_url=replica.url)
        (finding,) = [each for each in await check_surroundings(settings) if each.subject == "replica"]
        return f"{finding.level}: {finding.text}"

    async with (
        replica_of(primary) as replica,
        running_plant(redis_url, primary.url, database_read_url=replica.url) as plant,
    ):
        await live(plant)
        await plant.publish(update(trade(1), trade(2), entry="1-0"))
        await plant.store(trade(1), trade(2), entry="1-0")
        await replica.follows()
        assert (await plant.get("/health"))["replica"]["status"] == "up"

        async def without_lag() -> bool:
            """By all three; the primary writes to its log by itself, too, between any two looks."""
            health = (await plant.get("/health"))["replica"]
            lags = health["lag_s"], health["lag_bytes"], gauge("seconds"), gauge("bytes")
            return lags == (0, 0, 0, 0) and await judge() == "ok: it has all that the primary has"

        await until(without_lag, "the replica has all that the primary has")

        await pause_replay(replica)
        await plant.publish(update(trade(3), entry="2-0"))
        await plant.store(trade(3), entry="2-0")
        await plant.publish(update(trade(4), entry="3-0"))
        await plant.caught_up()
        measured: dict[str, Any] = (await plant.get("/health"))["replica"]
        assert measured["lag_bytes"] > 0
        assert measured["lag_s"] > 0
        assert gauge("bytes") > 0
        assert gauge("seconds") > 0
        assert "behind the primary" in await judge()
        answer = await plant.get("/api/v1/trades/binance:BTCUSDT")
        assert [view["trade_id"] for view in answer["trades"]] == [1, 2]
        async with plant.socket() as socket:
            await socket.subscribe(TRADES, since=answer["cursor"])
            assert (await socket.receive_until("resumed"))["channel"] == TRADES
            found = [(await socket.receive_until("trades"))["data"] for _ in range(2)]
        assert [view["trade_id"] for views in found for view in views] == [3, 4]

        await fetch_value(replica.url, "select pg_wal_replay_resume()::text")
        await replica.follows()
        answer = await plant.get("/api/v1/trades/binance:BTCUSDT")
        assert [view["trade_id"] for view in answer["trades"]] == [1, 2, 3]

        await replica.stop()
        assert (await plant.get("/health"))["replica"]["status"] == "down"
        assert math.isnan(gauge("seconds"))
        assert (await plant.http.get("/health/ready")).status_code == 503
        assert "fail: " in await judge()
        await replica.start()

        async def ready() -> bool:
            return bool((await plant.http.get("/health/ready")).is_success)

        await until(ready, "the replica is used again")


async def test_while_the_primarys_address_leads_to_a_standby_the_api_serves_and_the_lag_is_unknown(
    redis_url: str, own_postgres: OwnPostgres
) -> None:
    primary = await own_postgres()
    await migrate(primary.url, partitions=PARTITIONS, extension="off")
    async with (
        replica_of(primary) as replica,
        running_plant(redis_url, replica.url, database_read_url=replica.url) as plant,
    ):
        await live(plant)
        found = (await plant.get("/health/ready"))["replica"]
        assert found["status"] == "up"
        assert not {"lag_s", "lag_bytes"} & found.keys()
        await plant.get("/api/v1/trades/binance:BTCUSDT")
