"""Several hosts in an address: a primary and its replica; what is refused after the replica's promotion."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import asyncpg
import pytest
from conftest import PARTITIONS, OwnPostgres, OwnRedis
from replicas import Replica, address_of, disconnect, replica_of
from stored import fetch_value
from working import START_US, trade, until

from db import hosts
from db.commit import CommitBatch, commit
from db.hosts import Wanted
from db.leases import Lease, heartbeat, take_lease
from db.migrate import migrate
from db.pool import OUTAGE, connect, open_pool, snapshot
from tickplant import wire
from tickplant.errors import FormerPrimaryError, LaterEpochError, LeaseLostError
from tickplant.local import PostgresServer
from tickplant.redis_client import open_redis
from workers.partition_state import PartitionState
from workers.partition_streams import PartitionStreams
from workers.roles.partition import PartitionRoles

PORT = "select inet_server_port()"


class Pair(NamedTuple):
    primary: PostgresServer
    replica: Replica


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "_newest", {})


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A better host is found, however busy the machine is."""
    monkeypatch.setattr(hosts, "_GRACE_S", 20.0)


@pytest.fixture
async def pair(own_postgres: OwnPostgres) -> AsyncIterator[Pair]:
    primary = await own_postgres()
    await migrate(primary.url, partitions=PARTITIONS, extension="off")
    async with replica_of(primary) as replica:
        yield Pair(primary, replica)


async def port_of(url: str, **options: Any) -> int:
    """Return the port of the server that an address leads to."""
    connection = await connect(url, application="test", **options)
    try:
        return int(await connection.fetchval("select inet_server_port()"))
    finally:
        await connection.close()


@contextmanager
def silent_host() -> Any:
    """A host that takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def batch(entry_id: str) -> CommitBatch:
    state = PartitionState(0, 1, [], [], PartitionRoles(0))
    state.absorb(entry_id, {wire.TRADES: wire.encode_trades([trade(1, at_us=START_US)])}, published="0-0")
    return state.take_batch()


async def test_the_wanted_server_is_found_wherever_it_is_in_the_address(pair: Pair) -> None:
    both = [address_of(servers) for servers in (pair, pair[::-1])]
    for url in both:
        assert await port_of(url) == pair.primary.port
        assert await port_of(url, wanted="standby") == pair.replica.port
        assert await port_of(f"{url}?target_session_attrs=prefer-standby") == pair.replica.port
        assert await port_of(f"{url}?target_session_attrs=any") in (pair.primary.port, pair.replica.port)
    with pytest.raises(asyncpg.PostgresConnectionError, match=r"no host is the primary: .* is a standby"):
        await connect(f"{pair.replica.url}?target_session_attrs=read-write", application="test")
    with silent_host() as silent:
        url = both[0].replace("@", f"@{silent},")
        assert await port_of(url, timeout_s=60) == pair.primary.port
    await pair.primary.stop()
    with pytest.raises(asyncpg.PostgresConnectionError, match=r"is a standby; .*refused"):
        await connect(both[0], application="test")


async def test_a_promoted_replica_takes_the_place_of_its_primary(pair: Pair, own_redis: OwnRedis) -> None:
    primary, replica = pair
    redis = open_redis((await own_redis()).url)
    async with (
        open_pool(address_of(pair), size=2, application="test") as pool,
        open_pool(primary.url, size=2, application="test", eager=False) as only_primary,
    ):
        lease = await take_lease(pool, "candles", 0, "me", 60)
        assert lease is not None
        await PartitionStreams(redis, lease).take()
        await commit(pool, lease, "0-0", batch("1-0"))
        await replica.follows()
        await disconnect(replica)
        await primary.kill()
        await replica.promote()
        # The lease is there, and of its epoch; but nobody else can know whether it is still the latest.
        assert await fetch_value(replica.url, "select owner || epoch from lease") == "me1"
        with pytest.raises(LeaseLostError, match="taken on another server"):
            await commit(pool, lease, "1-0", batch("2-0"))
        assert (await heartbeat(pool, "candles", "me", 60))[1] == {}
        again = await take_lease(pool, "candles", 0, "me", 60)
        assert again is not None
        assert (again.epoch, again.entry_id) == (2, "1-0")
        await PartitionStreams(redis, again).take()
        assert again.server != lease.server

        await primary.start()
        for servers in (pair, pair[::-1]):
            assert await port_of(address_of(servers)) == replica.port
        former = await take_lease(only_primary, "candles", 0, "me", 60)
        assert former is not None
        for epoch in (former.epoch, former.epoch + 10):
            with pytest.raises(FormerPrimaryError, match=r"former primary.*timeline 2"):
                await PartitionStreams(redis, former._replace(epoch=epoch)).take()
        await PartitionStreams(redis, again).publish(wire.LiveUpdate(), "2-0")  # it is still the owner
    await redis.aclose()


async def test_a_standby_in_the_primarys_place_is_an_outage_for_its_owners(pair: Pair) -> None:
    async with open_pool(pair.primary.url, size=1, application="test") as pool:
        lease = await take_lease(pool, "candles", 0, "me", 60)
    assert lease is not None
    await pair.replica.follows()
    nothing = CommitBatch("1-0", b"", "binary", [], [], [], [], [], 0, 0)
    async with open_pool(pair.replica.url, size=1, application="test") as pool:
        for each in (batch("1-0"), nothing):
            with pytest.raises(OUTAGE):
                await commit(pool, lease, "0-0", each)
        with pytest.raises(OUTAGE):
            await heartbeat(pool, "candles", "me", 60)
        await pair.replica.promote()
        with pytest.raises(LeaseLostError):
            await commit(pool, lease, "0-0", nothing)


@pytest.mark.parametrize("wanted", ["primary", "any"])
async def test_a_pool_moves_to_a_promoted_replica_though_its_primary_runs_on(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, wanted: Wanted
) -> None:
    monkeypatch.setattr("db.pool.LOOK_S", 0.05)
    async with open_pool(address_of(pair), size=2, application="test", wanted=wanted) as pool:
        while await pool.fetchval(PORT) != pair.primary.port:  # of any host the first to answer is taken
            await pool.expire_connections()
        await pair.replica.promote()

        async def moved() -> bool:
            try:
                return bool(await pool.fetchval(PORT) == pair.replica.port)
            except OUTAGE:  # connections to the former primary are cut off
                return False

        await until(moved, "the pool uses the promoted replica")
        assert caplog.text.count("connections move there") == 1
        assert await fetch_value(pair.primary.url, "select not pg_is_in_recovery()")


async def test_a_connection_that_finds_a_promoted_replica_takes_the_others_along(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "_GRACE_S", 0.1)
    async with open_pool(address_of(pair), size=2, application="test") as pool:
        async with pool.acquire() as former:
            await pair.replica.promote()
            assert pair.primary.pid is not None
            os.kill(pair.primary.pid, signal.SIGSTOP)  # it takes no connection, and still serves those it has
            try:
                assert await pool.fetchval(PORT) == pair.replica.port
            finally:
                os.kill(pair.primary.pid, signal.SIGCONT)
            with pytest.raises(OUTAGE):
                await former.fetchval(PORT)
        assert await asyncio.gather(*[pool.fetchval(PORT) for _ in range(2)]) == [pair.replica.port] * 2


async def test_a_statement_on_a_primary_that_froze_ends_when_its_replica_is_promoted(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.pool.LOOK_S", 0.05)
    async with open_pool(address_of(pair), size=1, application="test") as pool:
        backend = await pool.fetchval("select pg_backend_pid()")
        os.kill(backend, signal.SIGSTOP)
        try:
            waiting = asyncio.create_task(pool.fetchval(PORT, timeout=3600))
            await pair.replica.promote()
            with pytest.raises(OUTAGE):
                await waiting
        finally:
            os.kill(backend, signal.SIGCONT)
        assert await pool.fetchval(PORT) == pair.replica.port


async def test_a_statement_on_a_server_that_froze_ends(own_postgres: OwnPostgres) -> None:
    server = await own_postgres()
    async with open_pool(server.url, size=1, application="test", migrated=False, timeout_s=0.2) as pool:
        backend = await pool.fetchval("select pg_backend_pid()")

        async def read() -> None:
            async with snapshot(pool, timeout_s=0.2) as connection:
                await connection.fetchval(PORT)

        os.kill(backend, signal.SIGSTOP)
        try:
            reading = asyncio.create_task(read())
            await asyncio.wait({reading}, timeout=30)
            assert reading.done()
            assert isinstance(reading.exception(), OUTAGE)
            assert await pool.fetchval(PORT, timeout=30) == server.port  # over another connection
        finally:
            os.kill(backend, signal.SIGCONT)


async def test_a_host_that_freezes_once_it_is_connected_holds_up_no_other(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "_STATE_S", 0.3)
    frozen: list[int] = []

    async def open_(host: hosts.Host) -> asyncpg.Connection:
        connection = await asyncpg.connect(pair.primary.url, host=host.host, port=host.port)
        if host.port == pair.primary.port:
            frozen.append(connection.get_server_pid())
            os.kill(frozen[-1], signal.SIGSTOP)
        return connection

    both = hosts.hosts_of(address_of(pair))
    try:
        found = await hosts.connect_to_one(both, "standby", open_)
        assert found.host.port == pair.replica.port
        found.connection.terminate()
        with pytest.raises(OUTAGE, match="no host is the primary"):
            await hosts.connect_to_one(both, "primary", open_)
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)


async def test_a_pool_that_prefers_a_replica_returns_to_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.pool.LOOK_S", 0.05)
    url = address_of(pair, target_session_attrs="prefer-standby")
    async with open_pool(url, size=2, application="test", wanted="any") as pool:

        async def uses(server: PostgresServer) -> bool:
            try:
                return bool(await pool.fetchval(PORT) == server.port)
            except OUTAGE:
                return False

        assert await uses(pair.replica)
        await pair.replica.stop()
        await until(lambda: uses(pair.primary), "the pool uses the primary meanwhile")
        await pair.replica.start()
        await until(lambda: uses(pair.replica), "the pool uses the replica again")


async def test_an_owner_on_another_server_needs_a_later_epoch(redis_url: str) -> None:
    redis = open_redis(redis_url)
    await PartitionStreams(redis, Lease("candles", 0, "one", 3, "0-0", "7/1")).take()
    with pytest.raises(LaterEpochError) as raised:
        await PartitionStreams(redis, Lease("candles", 0, "other", 3, "0-0", "7/2")).take()
    assert raised.value.epoch == 3
    await PartitionStreams(redis, Lease("candles", 0, "other", 4, "0-0", "7/2")).take()
    await PartitionStreams(redis, Lease("candles", 0, "restored", 5, "0-0", "8/1")).take()
    await redis.aclose()
