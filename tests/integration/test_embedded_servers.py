"""The embedded servers: start, kill, restart with data, and one instance a folder."""

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tickplant.embedded import PostgresServer, RedisServer
from tickplant.embedded.server import Server


async def _read_redis(url: str) -> object:
    client = redis.asyncio.Redis.from_url(url)
    try:
        return await client.get("kept")
    finally:
        await client.aclose()


async def _write_redis(url: str) -> None:
    client = redis.asyncio.Redis.from_url(url)
    await client.set("kept", "yes")
    await client.aclose()


async def _query(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_redis_keeps_its_data_and_port_over_restart_and_kill(
    own_redis: Callable[[], Awaitable[RedisServer]],
) -> None:
    server = await own_redis()
    url = server.url
    await _write_redis(url)
    await server.restart()
    assert await _read_redis(url) == b"yes"
    await server.kill()
    assert server.pid is None
    await server.start()
    assert server.url == url
    assert await _read_redis(url) == b"yes"


async def test_postgres_keeps_its_data_and_port_over_restart_and_kill(
    own_postgres: Callable[[], Awaitable[PostgresServer]],
) -> None:
    server = await own_postgres()
    url = server.url
    await _query(url, "create table kept as select 1")
    await server.restart()
    assert await _query(url, "select count(*) from kept") == 1
    await server.kill()
    await server.start()
    assert server.url == url
    assert await _query(url, "select count(*) from kept") == 1


async def test_redis_is_durable_bounded_to_loopback_and_closed_without_password(
    redis_server: RedisServer,
) -> None:
    client = redis.asyncio.Redis.from_url(redis_server.url, decode_responses=True)
    settings: dict[str | None, str | None] = {}
    for name in ("appendonly", "appendfsync", "maxmemory-policy", "bind", "protected-mode"):
        settings |= await client.config_get(name)
    await client.aclose()
    assert settings == {
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "bind": "127.0.0.1",
        "protected-mode": "yes",
    }
    stranger = redis.asyncio.Redis(port=redis_server.port, retry=Retry(NoBackoff(), 0))
    with pytest.raises(redis.exceptions.AuthenticationError):
        await stranger.get("kept")
    await stranger.aclose()


async def test_postgres_is_durable_in_utc_and_closed_without_password(
    postgres_server: PostgresServer,
) -> None:
    for name, value in {"fsync": "on", "synchronous_commit": "on", "timezone": "UTC"}.items():
        assert await _query(postgres_server.url, f"show {name}") == value
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres_server.url, password="guessed")


@pytest.mark.parametrize("kind", [RedisServer, PostgresServer])
def test_a_second_instance_on_the_folder_is_refused_by_name_of_the_first(
    kind: type[Server], request: pytest.FixtureRequest
) -> None:
    fixture = "redis_server" if kind is RedisServer else "postgres_server"
    server: Server = request.getfixturevalue(fixture)
    code = (
        "import asyncio, os, sys; from pathlib import Path; from tickplant.embedded import *\n"
        f"asyncio.run({kind.__name__}(Path(sys.argv[1])).start())"
    )
    second = subprocess.run([sys.executable, "-c", code, server.folder.path], capture_output=True, text=True)
    assert second.returncode != 0
    assert f"is in use by process {os.getpid()}" in second.stderr
    assert server.pid is not None
