"""Redis servers of one's own: every version at hand, few rights, TLS; what does not fit is refused."""

import asyncio
import re
from asyncio.subprocess import DEVNULL, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from shutil import which
from urllib.parse import quote

import pytest
from conftest import PARTITIONS
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis_cluster import CALM_CLUSTER, running_cluster
from servers import REDIS, RedisOf, cluster, make_certificate, running
from stored import fetch_value
from working import START_US, publishing, trade, until, working

from ingest.publisher import Publisher
from tickplant.errors import FatalError, MixedSourcesError
from tickplant.local.binaries import RedisBinary
from tickplant.local.folder import free_port
from tickplant.redis_agreement import agree_on_partitions, claim_redis_source
from tickplant.redis_client import OLDEST_REDIS, open_redis
from tickplant.redis_shards import ShardUnavailableError
from tickplant.redis_slots import SLOTS
from tickplant.streams import partition_of, trades_stream

ODD = "a:b/c@d,e?f#g%h&i+j="
"""A password of every sign that means something in an address."""
IN_ADDRESS = quote(ODD, safe="")
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


@on_one_database
@on_each_server
async def test_a_cluster(version: str, server_folder: Path, database_url: str) -> None:
    server = cluster(server_folder / f"cluster {version}", REDIS[version], f"user plant on >{ODD} {RIGHTS}")
    async with running(server) as url:
        await refused(url, "runs in cluster mode.*write redis.cluster://")
        at = url.replace("redis://", "redis+cluster://").removesuffix("/0")
        async with open_redis(at) as client:
            with pytest.raises(ShardUnavailableError, match="no node has slots"):
                await client.ping()
        await give_slots(url)
        await work(at, database_url)
        await work(f"valkey+cluster://plant:{IN_ADDRESS}@127.0.0.1:{server.port}", database_url)
        await refused(f"redis+cluster://plant:wrong@127.0.0.1:{server.port}", "refuses the login")


@on_one_database
async def test_a_cluster_with_tls(server_folder: Path, database_url: str) -> None:
    folder = server_folder / "certificate of a cluster"
    folder.mkdir()
    certificate, key = make_certificate(folder)
    port = free_port()
    lines = (f"tls-port {port}", f'tls-cert-file "{certificate}"', f'tls-key-file "{key}"', "tls-cluster yes")
    path = server_folder / "tls cluster"
    server = cluster(
        path, REDIS[FITTING[0]], *lines, f'tls-ca-cert-file "{certificate}"', "tls-auth-clients no"
    )
    async with running(server) as url:
        await give_slots(url)
        at = f":{server.folder.password()}@127.0.0.1:{port}"
        await work(f"rediss+cluster://{at}?ssl_ca_certs={certificate}", database_url)


async def give_slots(url: str) -> None:
    """Make a cluster of one node."""
    async with Redis.from_url(url) as client:
        await client.execute_command("CLUSTER", "ADDSLOTS", *range(SLOTS))  # type: ignore[no-untyped-call]

        async def ready() -> bool:
            info = await client.execute_command("CLUSTER", "INFO")  # type: ignore[no-untyped-call]
            return b"cluster_state:ok" in info

        await until(ready, "the cluster is ready")


async def test_a_node_that_refuses_the_login_stalls_its_slots_only(server_folder: Path) -> None:
    keys = [trades_stream(number) for number in range(12)]
    async with running_cluster(server_folder / "cluster with passwords", CALM_CLUSTER) as nodes:
        refusing, *_ = await nodes.masters()
        await refusing.ask("CONFIG", "SET", "requirepass", "secret")
        async with open_redis(nodes.url) as client:
            answers = await client.try_exchange(*[("XLEN", key) for key in keys])
            refusals = [answer for answer in answers if answer != 0]
            assert 0 < len(refusals) < len(keys)
            for refusal in refusals:
                assert isinstance(refusal, ShardUnavailableError)
                assert str(refusal).startswith(f"127.0.0.1:{refusing.port}: Redis refuses the login")
        for node in nodes.nodes:
            await node.ask("CONFIG", "SET", "requirepass", "secret")
        async with open_redis(nodes.url) as client:
            with pytest.raises(FatalError, match="Redis refuses the login"):
                await client.exchange(("XLEN", keys[0]))


async def test_a_server_that_is_no_node_of_a_cluster_is_refused(redis_url: str) -> None:
    at = redis_url.replace("redis://", "redis+cluster://").removesuffix("/0")
    await refused(at, "runs in standalone mode: it is no node of Redis Cluster")


async def test_a_server_that_is_no_sentinel_is_refused(redis_url: str) -> None:
    at = redis_url.replace("redis://", "redis+sentinel://").removesuffix("/0")
    await refused(f"{at}/plant", "is no sentinel: name sentinels")


@on_one_database
async def test_sentinels_name_another_master(server_folder: Path, database_url: str) -> None:
    binary, user = REDIS[FITTING[0]], f"user plant on >{ODD} {RIGHTS}"
    master = RedisOf(server_folder / "master", binary, user)
    await master.start()
    replica = replica_of(master, server_folder / "replica", user)
    password = master.folder.password()
    await replica.start()
    port = free_port()
    configuration = server_folder / "sentinel.conf"
    configuration.write_text(
        f"bind 127.0.0.1\nport {port}\nrequirepass watch\nsentinel monitor plant 127.0.0.1 {master.port} 1\n"
        f"sentinel auth-pass plant {password}\nsentinel down-after-milliseconds plant 500\n"
        "sentinel failover-timeout plant 2000\n"
    )
    async with connected(master, replicas=1):
        pass
    sentinel = await create_subprocess_exec(binary.path, configuration, "--sentinel", stdout=DEVNULL)
    url = f"redis+sentinel://plant:{IN_ADDRESS}@127.0.0.1:{port}/plant?sentinel_password=watch"
    async with Redis(port=port, password="watch") as client:
        await until(lambda: pings(client), "the sentinel answers")
    await refused(url.replace("=watch", "=other"), f"the sentinel 127.0.0.1:{port} refuses the login: ")
    async with open_redis(url.replace("/plant?", "/plants?")) as client:
        with pytest.raises(
            RedisConnectionError, match=r"no sentinel names a master plants; .* it knows plant"
        ):
            await client.exchange(("PING",))
    try:
        await refused(f"redis://:watch@127.0.0.1:{port}", r"runs in sentinel mode.*write redis\+sentinel://")
        async with publishing(url) as publisher, working(url, database_url):
            await until(lambda: answers(publisher), "the sentinel knows the master")
            await publisher.publish([trade(i, at_us=START_US + i) for i in range(1, 11)])
            await until(lambda: has_trades(database_url, 10), "trades are stored")
            await master.kill()
            await publisher.publish([trade(i, at_us=START_US + i) for i in range(11, 21)])
            await until(lambda: has_trades(database_url, 20), "trades after the failover are stored")
    finally:
        sentinel.kill()
        await sentinel.wait()
        await replica.stop()
        await master.stop()


async def test_a_sentinel_that_is_away_is_asked_once() -> None:
    asked = 0

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_redis(f"redis+sentinel://127.0.0.1:{port}/plant") as client:
            with pytest.raises(RedisConnectionError, match="no sentinel names a master"):
                await client.try_exchange(("PING",))
    assert asked == 1


def replica_of(master: RedisOf, path: Path, *lines: str) -> RedisOf:
    """Return a server that follows a running one, with the same password."""
    password = master.folder.password()
    path.mkdir()
    (path / "password").write_text(password)
    lines = (
        *lines,
        f"masterauth {password}",
        f"replicaof 127.0.0.1 {master.port}",
        "repl-diskless-sync-delay 0",
    )
    return RedisOf(path, master.binary, *lines)


async def pings(client: Redis) -> bool:
    with suppress(RedisConnectionError):
        return bool(await client.ping())
    return False


async def answers(publisher: Publisher) -> bool:
    await publisher.agree_on_partitions()
    return True


async def has_trades(database_url: str, count: int) -> bool:
    return bool(await fetch_value(database_url, "select count(*) from trades") == count)


@asynccontextmanager
async def connected(master: RedisOf, *, replicas: int) -> AsyncIterator[Redis]:
    """Yield a client of a master when its replicas are connected."""
    async with Redis.from_url(master.url) as client:

        async def are_connected() -> bool:
            role = await client.execute_command("ROLE")  # type: ignore[no-untyped-call]
            return len(role[2]) == replicas

        await until(are_connected, "the replicas are connected")
        yield client


async def test_trades_count_as_published_when_a_replica_has_them(
    server_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    binary = REDIS[FITTING[0]]
    master = RedisOf(server_folder / "durable master", binary)
    async with running(master):
        replica = replica_of(master, server_folder / "durable replica")
        await replica.start()
        async with connected(master, replicas=1) as client, open_redis(master.url, wait_replicas=1) as redis:
            publisher = Publisher(redis, partitions=PARTITIONS, budget_trades=10**9)
            await publisher.publish([trade(1, at_us=START_US)])
            await replica.kill()
            publishing = asyncio.create_task(publisher.publish([trade(2, at_us=START_US)]))

            async def is_logged() -> bool:
                return "0 of 1 replicas have the trades" in caplog.text

            await until(is_logged, "the missing replica is logged")
            assert not publishing.done()
            await replica.start()
            await publishing
            stream = trades_stream(partition_of("binance", "AAAUSDT", PARTITIONS))
            assert await client.xlen(stream) >= 2
        await replica.stop()


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
