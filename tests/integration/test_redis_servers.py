"""Redis servers of one's own: every version at hand, few rights, TLS; what does not fit is refused."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which

import pytest
from conftest import PARTITIONS
from redis.exceptions import ConnectionError as RedisConnectionError
from servers import REDIS, RedisOf, cluster, free_port, make_certificate, running
from stored import fetch_value
from working import START_US, publishing, trade, until, working

from tickplant.errors import FatalError, MixedSourcesError
from tickplant.local.binaries import RedisBinary
from tickplant.redis_agreement import agree_on_partitions, claim_redis_source
from tickplant.redis_client import OLDEST_REDIS, open_redis

RIGHTS = "~* &* +@all -@admin -@dangerous"
"""The rights that `tickplant doctor` asks for."""


def fits(binary: RedisBinary) -> bool:
    return tuple(map(int, binary.version.split()[1].split(".")[:2])) >= OLDEST_REDIS


FITTING = [version for version, binary in REDIS.items() if fits(binary)]

on_one_database = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
on_each_server = pytest.mark.parametrize("version", FITTING)


async def work(redis_url: str, database_url: str) -> None:
    """Have a worker store ten trades."""
    async with publishing(redis_url) as publisher, working(redis_url, database_url):
        await publisher.agree_on_partitions()
        await publisher.publish([trade(i, at_us=START_US + i * 10_000_000) for i in range(1, 11)])

        async def done() -> bool:
            return bool(await fetch_value(database_url, "select count(*) from trades") == 10)

        await until(done, "trades stored")


async def refused(redis_url: str, message: str) -> None:
    async with open_redis(redis_url) as client:
        with pytest.raises(FatalError, match=message):
            await agree_on_partitions(client, PARTITIONS)


@on_one_database
@on_each_server
async def test_a_user_of_few_rights_is_enough(version: str, server_folder: Path, database_url: str) -> None:
    user = f"user plant on >secret {RIGHTS}"
    server = RedisOf(server_folder / f"acl {version}", REDIS[version], user)
    async with running(server):
        at = f"127.0.0.1:{server.port}/0"
        await work(f"redis://plant:secret@{at}", database_url)
        await refused(f"redis://plant:wrong@{at}", "refuses the login.*check the user and the password")
        await refused(f"redis://{at}", "asks for a user or a password; give them in TICKPLANT_REDIS_URL")


@on_each_server
async def test_the_first_source_of_trades_is_noted_and_another_refused(
    version: str, server_folder: Path
) -> None:
    server = RedisOf(server_folder / f"source {version}", REDIS[version])
    async with running(server) as url, open_redis(url) as client:
        await claim_redis_source(client, "replay")
        await claim_redis_source(client, "replay")
        with pytest.raises(MixedSourcesError):
            await claim_redis_source(client, "live")


@on_one_database
@on_each_server
async def test_tls(version: str, server_folder: Path, database_url: str) -> None:
    if which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    folder = server_folder / f"certificate of {version}"
    folder.mkdir()
    certificate, key = make_certificate(folder)
    port = free_port()
    lines = (f"tls-port {port}", f'tls-cert-file "{certificate}"', f'tls-key-file "{key}"')
    server = RedisOf(server_folder / f"tls {version}", REDIS[version], *lines, "tls-auth-clients no")
    try:
        await server.start()
    except FatalError as error:
        if not re.search("Bad directive|Failed finding TLS support", str(error)):
            raise
        pytest.skip(f"{version} was built without TLS")
    try:
        at = f":{server.folder.password()}@127.0.0.1:{port}/0"
        await work(f"rediss://{at}?ssl_ca_certs={certificate}", database_url)
        async with open_redis(f"rediss://{at}") as client:
            with pytest.raises(RedisConnectionError, match=r"(?i)certificate"):
                await client.ping()
    finally:
        await server.stop()


@on_each_server
async def test_a_cluster_is_refused(version: str, server_folder: Path) -> None:
    async with running(cluster(server_folder / f"cluster {version}", REDIS[version])) as url:
        await refused(url, "runs in cluster mode.*cluster-enabled no")


async def test_a_server_that_is_too_old_is_refused() -> None:
    async with answering_as("6.0.16") as url:
        await refused(url, "Redis 6.0.16 is too old: install version 6.2")


@asynccontextmanager
async def answering_as(version: str) -> AsyncIterator[str]:
    """Answer INFO as an old server does, where none is available."""
    info = {"server": "redis", "version": version, "mode": "standalone"}
    words = [word for pair in info.items() for word in pair]
    hello = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            command = []
            for _ in range(int(line[1:])):
                size = int((await reader.readline())[1:])
                command.append((await reader.readexactly(size + 2))[:-2])
            writer.write(hello.encode() if command[0] == b"HELLO" else b"+OK\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
