"""`tickplant doctor` on real servers: what passes, and what has a remedy."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import redis.asyncio
from conftest import on_one_variant
from forked import run_apart
from kafka import mock_cluster

from tickplant.local import RedisServer
from tickplant.local.supervisor import ManagedProcess, Supervisor

OwnRedis = Callable[[], Awaitable[RedisServer]]
Doctor = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
async def doctor(redis_url: str, database_url: str, tmp_path: Path) -> AsyncIterator[Doctor]:
    """Run `tickplant doctor` on good servers and a venue, except for the settings given."""
    role = ManagedProcess("sandbox", ("sandbox", "--port", "0"), {})
    async with Supervisor(lambda name, line: None).announced(role) as line:
        venue = msgspec.json.decode(line)
        good = {
            "PATH": "/usr/bin:/bin",
            "TICKPLANT_REDIS_URL": redis_url,
            "TICKPLANT_DATABASE_URL": database_url,
            "TICKPLANT_PARTITIONS": "4",
            "TICKPLANT_BINANCE_WS_URL": venue["ws_url"],
            "TICKPLANT_BINANCE_REST_URL": venue["rest_url"],
        }

        async def run(**settings: str) -> tuple[int, str]:
            ended = await asyncio.to_thread(run_apart, "doctor", environment=good | settings, folder=tmp_path)
            return ended.returncode, ended.stdout

        yield run


@on_one_variant
async def test_good_servers_pass(doctor: Doctor) -> None:
    code, output = await doctor()
    assert not [line for line in output.splitlines() if line.startswith(("fail", "warn"))]
    assert (code, output.splitlines()[-1]) == (0, "0 errors, 0 warnings")


@on_one_variant
async def test_kafka_is_looked_for_where_it_is_set(doctor: Doctor) -> None:
    with mock_cluster() as (bootstrap, _):
        code, output = await doctor(TICKPLANT_KAFKA_BOOTSTRAP=bootstrap)
    assert f"ok    kafka     {bootstrap} answers; the mirror will create tickplant.trades" in output
    assert code == 0


@on_one_variant
async def test_each_problem_is_reported_with_its_fix(doctor: Doctor, own_redis: OwnRedis) -> None:
    server = await own_redis()
    client = redis.asyncio.Redis.from_url(server.url)
    await client.config_set("appendonly", "no")
    await client.config_set("maxmemory-policy", "allkeys-lru")
    await client.aclose()
    code, output = await doctor(
        TICKPLANT_REDIS_URL=server.url,
        TICKPLANT_PARTITIONS="5",
        TICKPLANT_BINANCE_WS_URL="ws://127.0.0.1:1",
    )
    assert code == 1
    for line in (
        "fail  redis     appendonly is no",
        "warn  redis     maxmemory-policy is allkeys-lru",
        "fail  database  it was created with 4 partitions, the setting says 5",
        "fail  venue     ws://127.0.0.1:1 can't be reached",
        "set TICKPLANT_PARTITIONS=4",
    ):
        assert line in output


@on_one_variant
async def test_unavailable_servers_are_reported(doctor: Doctor) -> None:
    code, output = await doctor(
        TICKPLANT_REDIS_URL="redis://127.0.0.1:1", TICKPLANT_DATABASE_URL="postgresql://127.0.0.1:1/none"
    )
    assert code == 1
    assert "fail  redis     can't be reached" in output
    assert "fail  database  the database can't be reached" in output
