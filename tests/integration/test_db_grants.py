"""Roles: who migrates owns, a writer can do what workers and the API do, a reader can only read."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import pytest
from correct import SYMBOL, random_trades, store
from working import START_US, publishing, stored_count, trade, until, working

from db.grants import GRAFANA, SECRET, SERVICE, Passwords, scram_verifier
from db.migrate import migrate
from db.policies import Retention
from tickplant.errors import FatalError
from tickplant.local import PostgresServer

PASSWORDS = Passwords(service="its own secret", grafana="an'other $ecret")


def url_of(database_url: str, user: str, password: str) -> str:
    """The same database for another user."""
    parts = urlsplit(database_url)
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password)}@{parts.hostname}:{parts.port}"))


@asynccontextmanager
async def connected(database_url: str, user: str, password: str | None) -> AsyncIterator[asyncpg.Connection]:
    assert password is not None
    connection = await asyncpg.connect(url_of(database_url, user, password))
    yield connection
    await connection.close()


@pytest.fixture
async def with_logins(database_url: str) -> str:
    await migrate(database_url, partitions=4, retention=Retention(trades_days=30), passwords=PASSWORDS)
    return database_url


async def test_a_worker_needs_no_more_than_a_writer_may(redis_url: str, with_logins: str) -> None:
    assert PASSWORDS.service is not None
    url = url_of(with_logins, SERVICE, PASSWORDS.service)
    async with publishing(redis_url) as publisher, working(redis_url, url):
        await publisher.publish([trade(i, at_us=START_US + i * 10_000_000) for i in range(1, 31)])

        async def done() -> bool:
            return await stored_count(url) == 30

        await until(done, "trades stored by a writer")
    async with connected(with_logins, SERVICE, PASSWORDS.service) as writer:
        for forbidden in ("create table mine (i int)", "drop table gaps", "update plant set partitions = 1"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await writer.execute(forbidden)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_writer_can_remove_what_is_old(with_logins: str) -> None:
    await migrate(with_logins, partitions=4, retention=Retention(trades_days=1))
    owner = await asyncpg.connect(with_logins)
    await store(owner, random_trades(seed=1))
    async with connected(with_logins, SERVICE, PASSWORDS.service) as writer:
        await writer.execute("call remove_expired()")
    assert 0 < await owner.fetchval("select count(*) from trades") < len(random_trades(seed=1))
    await owner.close()


async def test_a_reader_sees_every_table_and_view_but_webhooks_and_changes_nothing(with_logins: str) -> None:
    owner = await asyncpg.connect(with_logins)
    await store(owner, random_trades(seed=1))
    await owner.execute("create table made_later (i int)")
    names = [
        name
        for (name,) in await owner.fetch(
            "select relname from pg_class where relnamespace = 'public'::regnamespace"
            " and relkind in ('r', 'v') and not exists"
            " (select from pg_depend where objid = pg_class.oid and deptype = 'e')"
        )
    ]
    await owner.close()
    assert {"trades", "latest_price", "made_later"} <= set(names)
    async with connected(with_logins, GRAFANA, PASSWORDS.grafana) as reader:
        for name in set(names) - set(SECRET):
            await reader.fetch(f"select * from {name} limit 1")
        for name in SECRET:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.fetch(f"select * from {name}")
        assert await reader.fetchval("select count(*) from trades") == len(random_trades(seed=1))
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await reader.execute("delete from trades")
        await reader.execute("set default_transaction_read_only = off")
        for forbidden in ("delete from trades", "create table mine (i int)"):
            with pytest.raises(asyncpg.PostgresError):
                await reader.execute(forbidden)
        assert await reader.fetchval("show statement_timeout") == "30s"
        assert await reader.fetchval("select count(*) from trades where symbol = $1", SYMBOL.symbol) > 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_reader_sees_no_secret_while_rights_are_granted_again(with_logins: str) -> None:
    looks = 0
    async with connected(with_logins, GRAFANA, PASSWORDS.grafana) as reader:
        migrating = asyncio.create_task(migrate(with_logins, partitions=4, passwords=PASSWORDS))
        while not migrating.done():
            for relation in SECRET:
                assert not await reader.fetchval("select has_table_privilege($1, 'select')", relation)
                looks += 1
    await migrating
    assert looks > 10


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_password_is_changed_by_migrating_again(with_logins: str) -> None:
    await migrate(with_logins, partitions=4, passwords=Passwords(grafana="new"))
    with pytest.raises(asyncpg.InvalidPasswordError):
        async with connected(with_logins, GRAFANA, PASSWORDS.grafana):
            pass
    async with connected(with_logins, GRAFANA, "new"), connected(with_logins, SERVICE, PASSWORDS.service):
        pass


@pytest.fixture
def databases(postgres_server: PostgresServer) -> Iterator[list[str]]:
    base = postgres_server.url.rpartition("/")[0]
    names = [f"roles_{number}" for number in range(4)]

    async def execute(*statements: str) -> None:
        connection = await asyncpg.connect(postgres_server.url)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    asyncio.run(execute(*(f"create database {name}" for name in names)))
    yield [f"{base}/{name}" for name in names]
    asyncio.run(execute(*(f"drop database {name} with (force)" for name in names)))


def test_databases_of_one_server_can_be_migrated_at_the_same_time(databases: list[str]) -> None:
    async def all_at_once() -> list[list[str]]:
        return await asyncio.gather(
            *(migrate(url, partitions=4, extension="off", passwords=PASSWORDS) for url in databases)
        )

    assert len({tuple(lines) for lines in asyncio.run(all_at_once())}) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_an_owner_that_may_create_no_groups_gets_the_statements_to_run(with_logins: str) -> None:
    superuser = await asyncpg.connect(with_logins)
    await superuser.execute("drop role if exists plain_owner")
    await superuser.execute("create role plain_owner login password 'p'")
    try:
        await superuser.execute("create database owned_plainly owner plain_owner")
        url = url_of(with_logins, "plain_owner", "p").rpartition("/")[0] + "/owned_plainly"
        lines = await migrate(url, partitions=4, extension="off")
        assert not any("may not" in line for line in lines)  # the groups exist: only rights are missing
        (line,) = await migrate(url, partitions=4, extension="off", passwords=PASSWORDS)
        assert "lacks the rights for these statements" in line
        assert f"alter role {SERVICE} login password '...'" in line
        assert PASSWORDS.service is not None
        assert PASSWORDS.service not in line
    finally:
        await superuser.execute("drop database if exists owned_plainly")
        await superuser.execute("drop owned by plain_owner")
        await superuser.execute("drop role plain_owner")
        await superuser.close()


def test_a_password_that_can_be_spelt_in_two_ways_is_refused() -> None:
    with pytest.raises(FatalError, match="ASCII"):
        scram_verifier("gehe\u0308im", b"salt")
