"""Servers of one's own: what an owner without other rights can do, whatever is configured there."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import asyncpg
import pytest
from api_plant import running_plant
from conftest import PARTITIONS
from servers import (
    PGBOUNCER,
    POSTGRES,
    PostgresOf,
    pgbouncer,
    pgbouncer_version,
    url_as,
)
from stored import fetch_value
from working import START_US, publishing, stored_count, trade, until, working

from db.export import open_reader
from db.grants import SERVICE, Passwords
from db.inspection import inspect
from db.migrate import Extension, migrate
from db.policies import Retention
from db.pool import OUTAGE, connect, open_pool
from db.retention import remove_expired
from db.status import read_database_status
from tickplant.errors import FatalError
from tickplant.local import PostgresServer
from tickplant.local.folder import free_port

KEEP = Retention(trades_days=1)
_numbers = count(1)


def variants() -> list[tuple[str, Extension]]:
    return [
        (version, extension)
        for version, binaries in POSTGRES.items()
        for extension in ("off", "on")
        if extension == "off" or binaries.timescaledb
    ]


@pytest.fixture(scope="module")
def addresses(server_folder: Path, postgres_server: PostgresServer) -> Iterator[dict[str, str]]:
    """A superuser's address of a running server of each version, started when first asked for."""
    started: dict[str, PostgresServer] = {}

    class Addresses(dict[str, str]):
        def __missing__(self, version: str) -> str:
            if POSTGRES[version] == postgres_server.binaries:
                return postgres_server.url
            server = started[version] = PostgresOf(server_folder / f"postgres {version}", POSTGRES[version])
            asyncio.run(server.start())
            self[version] = server.url
            return server.url

    yield Addresses()
    for server in started.values():
        asyncio.run(server.stop())


@pytest.fixture
def address(request: pytest.FixtureRequest, addresses: dict[str, str]) -> str:
    return addresses[getattr(request, "param", next(iter(POSTGRES)))]


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def owned_database(address: str, *also: str, options: str = "") -> AsyncIterator[str]:
    """A database of a user with no other rights; `also` are a superuser's statements on {user} and {name}."""
    user = f"quant_{next(_numbers)}"
    name = f"market_of_{user}"
    await execute(
        address, f"create role {user} login password 'p'", f"create database {name} owner {user} {options}"
    )
    inside = address.rpartition("/")[0] + f"/{name}"
    try:
        await execute(inside, *(statement.format(user=user, name=name) for statement in also))
        yield url_as(address, user, "p", name)
    finally:
        await execute(
            address, f"drop database {name} with (force)", f"drop owned by {user}", f"drop role {user}"
        )


async def work(redis_url: str, database_url: str, first_id: int) -> None:
    """Have a worker store ten trades."""
    before = await stored_count(database_url)
    async with publishing(redis_url) as publisher, working(redis_url, database_url):
        trades = [trade(i, at_us=START_US + i * 10_000_000) for i in range(first_id, first_id + 10)]
        await publisher.publish(trades)

        async def done() -> bool:
            return await stored_count(database_url) == before + 10

        await until(done, f"trades from {first_id} stored")


async def look(redis_url: str, database_url: str) -> None:
    """Do whatever reads, as this user."""
    async with open_reader(database_url, application="test") as reader:
        assert (await read_database_status(reader)).symbols == 1
    inspection = await inspect(database_url)
    assert (inspection.unfit, inspection.pending_migrations) == (None, 0)
    async with running_plant(redis_url, database_url) as plant:
        assert len((await plant.get("/api/v1/trades/binance:AAAUSDT"))["trades"]) > 0


@pytest.mark.parametrize(("address", "extension"), variants(), indirect=["address"])
async def test_an_owner_and_a_writer_need_no_other_rights(
    address: str, extension: Extension, redis_url: str
) -> None:
    passwords = Passwords(service="secret")
    async with owned_database(address) as url:
        lines = await migrate(url, partitions=PARTITIONS, extension=extension, retention=KEEP)
        assert inspect_lines(lines, "ran migration 0001")
        await work(redis_url, url, 1)
        async with open_pool(url, size=1, application="test") as pool:
            await remove_expired(pool)
        await look(redis_url, url)
        # Whoever may create roles does, and the owner gives them their rights.
        superuser_url = address.rpartition("/")[0] + "/" + url.rpartition("/")[2]
        await execute(superuser_url, "drop role if exists tickplant_service")
        try:
            await migrate(superuser_url, partitions=PARTITIONS, retention=KEEP, passwords=passwords)
            await migrate(url, partitions=PARTITIONS, retention=KEEP)
            service_url = url_as(url, SERVICE, "secret")
            await work(redis_url, service_url, 11)
            await look(redis_url, service_url)
        finally:
            await execute(superuser_url, f"drop owned by {SERVICE}")


def inspect_lines(lines: list[str], text: str) -> bool:
    return any(text in line for line in lines)


@pytest.mark.parametrize(("address", "extension"), variants(), indirect=["address"])
async def test_the_servers_configuration_does_not_matter(
    address: str, extension: Extension, redis_url: str
) -> None:
    configured = [
        "create schema elsewhere authorization {user}",
        *(["create schema tools", "create extension timescaledb schema tools"] if extension == "on" else []),
        *(["grant usage on schema tools to {user}"] if extension == "on" else []),
        "create schema authorization {user}",
        'alter role {user} set search_path = elsewhere, "$user"',
        "alter database {name} set default_transaction_isolation = serializable",
        "alter database {name} set synchronous_commit = off",
        "alter role {user} set statement_timeout = 1000",
        "alter role {user} set lock_timeout = 1",
        "alter role {user} set idle_in_transaction_session_timeout = 1000",
        "alter role {user} set idle_session_timeout = 2000",
        "alter role {user} set timezone = 'America/St_Johns'",
        "alter role {user} set datestyle = 'German'",
        "alter role {user} set intervalstyle = 'sql_standard'",
        "alter role {user} set extra_float_digits = -15",
        "alter role {user} set standard_conforming_strings = off",
        "alter role {user} set bytea_output = 'escape'",
        "alter role {user} set client_encoding = 'LATIN1'",
        "alter role {user} set jit = on",
    ]
    async with owned_database(address, *configured) as url:
        await migrate(url, partitions=PARTITIONS, extension=extension, retention=KEEP)
        superuser_url = address.rpartition("/")[0] + "/" + url.rpartition("/")[2]
        await asyncio.gather(*(work_beside(redis_url, url, superuser_url) for _ in range(2)))
        async with open_pool(url, size=1, application="test") as pool:
            row = await pool.fetchrow(
                "select current_setting('default_transaction_isolation') as isolation,"
                " current_setting('synchronous_commit') as durability, current_setting('TimeZone') as zone,"
                " current_setting('statement_timeout') as limit, current_setting('jit') as jit"
            )
            assert row is not None
            assert tuple(row) == ("read committed", "on", "UTC", "0", "off")
            # What is set holds for all who use the connection after another, too.
            assert await pool.fetchval("show timezone") == "UTC"
        # What dashboards and TimescaleDB's scheduler call, in sessions of their own.
        session = await asyncpg.connect(url)
        await session.execute("set statement_timeout = 0; set lock_timeout = 0; set idle_session_timeout = 0")
        assert await session.fetchval("select count(*) from public.trades") == 20
        assert await session.fetchval("select trade_count from public.overview_24h") == 20
        if extension == "on":
            await session.execute(
                "insert into public.trades select venue, symbol, 0, price, size, side,"
                " event_time - interval '100 days', ingest_time from public.trades limit 1"
            )
            query = "select job_id from timescaledb_information.jobs where proc_name = 'remove_expired'"
            await session.execute(f"call tools.run_job({await session.fetchval(query)})")
            assert await session.fetchval("select count(*) from public.trades") == 20
        await session.close()


async def work_beside(redis_url: str, database_url: str, superuser_url: str) -> None:
    async with working(redis_url, database_url), publishing(redis_url) as publisher:
        await publisher.publish([trade(i, at_us=START_US + i * 10_000_000) for i in range(1, 21)])
        query = "select count(*) from public.trades"

        async def done() -> bool:
            return bool(await fetch_value(superuser_url, query) == 20)

        await until(done, "trades stored, whichever worker has the partition")


async def test_a_plant_in_another_schema_is_found(address: str, redis_url: str) -> None:
    async with owned_database(address, "create schema authorization {user}") as url:
        await migrate(url, partitions=PARTITIONS, extension="off")
        schema = await fetch_value(url, "select current_user")
        tables = await fetch_value(
            url,
            "select string_agg(format('alter table %I set schema ' || $1, relname), ';') from pg_class"
            " where relkind = 'r' and relnamespace = 'public'::regnamespace",
            schema,
        )
        await execute(url, tables, f"alter role {schema} set search_path = public")
        connection = await connect(url, application="test")
        assert await connection.fetchval("select current_schema()") == schema
        assert await connection.fetchval("select count(*) from trades") == 0
        await connection.close()


@pytest.mark.parametrize(
    ("options", "also", "message"),
    [
        ("encoding 'LATIN1' template template0 locale 'C'", [], "database .* has encoding LATIN1.*UTF8"),
        ("encoding 'SQL_ASCII' template template0 locale 'C'", [], "SQL_ASCII"),
        (
            "",
            ["alter schema public owner to tickplant", "revoke create on schema public from public"],
            "may not create tables in schema public.*grant usage, create on schema public to quant",
        ),
        ("", ["drop schema public"], "may not create tables in schema public"),
        ("", ["alter role {user} set default_transaction_read_only = on"], "is read-only"),
        ("", ["create table public.migration (version text)"], "permission|belong to tickplant"),
        (
            "",
            ["set role {user}", "create table public.migration (version text)"],
            "alone: create database",
        ),
        (
            "",
            ["set role {user}", "create table public.candles (i int)"],
            "candles.*alone: create database",
        ),
    ],
)
async def test_a_database_that_does_not_fit_is_refused_with_what_to_do(
    address: str, options: str, also: list[str], message: str
) -> None:
    async with owned_database(address, *also, options=options) as url:
        with pytest.raises(FatalError, match=message):
            await migrate(url, partitions=PARTITIONS, extension="off")


async def test_tables_of_another_owner_are_named(address: str) -> None:
    async with owned_database(address) as url:
        superuser_url = address.rpartition("/")[0] + "/" + url.rpartition("/")[2]
        await migrate(superuser_url, partitions=PARTITIONS, extension="off")
        with pytest.raises(FatalError, match=r"tables belong to tickplant.*migrate as tickplant"):
            await migrate(url, partitions=PARTITIONS, extension="off")
        with pytest.raises(FatalError, match=r"permission denied.*a user in the group tickplant_writer"):
            await inspect(url)
        user = url.partition("//")[2].partition(":")[0]
        await execute(superuser_url, f"grant select on migration, plant to {user}")
        inspection = await inspect(url)
        assert inspection.unfit is not None
        assert "grant tickplant_writer to quant" in inspection.unfit


async def test_tables_of_others_are_ignored(address: str) -> None:
    also = ["create table public.theirs (i int)", "create view public.view_of_theirs as select * from theirs"]
    async with owned_database(address, *also) as url:
        assert not inspect_lines(await migrate(url, partitions=PARTITIONS, extension="off"), "theirs")


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("pool_size", [1, 20])
async def test_a_pooler_that_keeps_no_sessions_is_refused(
    address: str, server_folder: Path, mode: str, pool_size: int
) -> None:
    need_pgbouncer()
    async with owned_database(address) as url:
        await migrate(url, partitions=PARTITIONS, extension="off")
        with pgbouncer(url, server_folder, mode=mode, pool_size=pool_size) as pooled_url:
            for _ in range(2):  # the second finds sessions that others have used
                with pytest.raises(FatalError, match=r"PgBouncer.*pool_mode=session"):
                    await migrate(pooled_url, partitions=PARTITIONS, extension="off")
            with pytest.raises(FatalError, match="pool_mode=session"):
                async with open_pool(pooled_url, size=2, application="test"):
                    pass
            # Sessions that others will get were left as they were.
            other = await asyncpg.connect(pooled_url)
            untouched = "select where current_setting('search_path') like '%$user%'"
            assert await other.execute(untouched) == "SELECT 1"
            await other.close()


async def test_a_pooler_that_only_keeps_prepared_statements_is_refused(
    address: str, server_folder: Path
) -> None:
    """PgBouncer's max_prepared_statements keeps neither settings nor advisory locks."""
    need_pgbouncer()
    if pgbouncer_version() < (1, 21):
        pytest.skip("this PgBouncer is older than 1.21, which has max_prepared_statements")
    async with owned_database(address) as url:
        lines = "max_prepared_statements = 100\n"
        with (
            pgbouncer(url, server_folder, mode="transaction", lines=lines) as pooled_url,
            pytest.raises(FatalError, match=r"PgBouncer.*pool_mode=session"),
        ):
            await connect(pooled_url, application="test")


async def test_poolers_may_be_hosts_of_an_address(address: str, server_folder: Path) -> None:
    need_pgbouncer()
    async with owned_database(address) as url:
        for mode in ("transaction", "session"):
            with pgbouncer(url, server_folder, mode=mode) as pooled_url:
                nowhere = pooled_url.replace("@", f"@127.0.0.1:{free_port()},")
                if mode == "transaction":
                    with pytest.raises(FatalError, match=r"PgBouncer.*pool_mode=session"):
                        await connect(nowhere, application="test")
                else:
                    connection = await connect(nowhere, application="test")
                    assert await connection.fetchval("select 1") == 1
                    await connection.close()


@pytest.mark.parametrize(("address", "extension"), variants(), indirect=["address"])
async def test_a_pooler_that_keeps_sessions_is_accepted(
    address: str, extension: Extension, redis_url: str, server_folder: Path
) -> None:
    need_pgbouncer()
    async with owned_database(address) as url:
        with pgbouncer(url, server_folder, mode="session", pool_size=60) as pooled_url:
            await migrate(pooled_url, partitions=PARTITIONS, extension=extension)
            await work(redis_url, pooled_url, 1)
            await look(redis_url, pooled_url)


async def test_one_session_of_a_pooler_is_enough_to_be_accepted(address: str, server_folder: Path) -> None:
    need_pgbouncer()
    async with owned_database(address) as url:
        with pgbouncer(url, server_folder, mode="session", pool_size=1) as pooled_url:
            connection = await connect(pooled_url, application="test", timeout_s=20)
            assert await connection.fetchval("select 1") == 1
            await connection.close()


def need_pgbouncer() -> None:
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed")


async def test_a_schema_that_is_not_this_versions_is_refused(address: str) -> None:
    async with owned_database(address) as url:
        with pytest.raises(FatalError, match="no tickplant tables: run: tickplant migrate"):
            async with open_pool(url, size=1, application="test"):
                pass
        await migrate(url, partitions=PARTITIONS, extension="off")
        await execute(url, "insert into migration values (9999, 'newer')")
        with pytest.raises(FatalError, match=r"9999.*install the newer"):
            async with open_pool(url, size=1, application="test"):
                pass
        await execute(url, "delete from migration where number in (9999, 8)")
        with pytest.raises(FatalError, match="lacks migration 8: run: tickplant migrate"):
            async with open_pool(url, size=1, application="test"):
                pass


async def test_an_address_that_makes_no_sense_is_an_error_at_once() -> None:
    with pytest.raises(FatalError, match="check TICKPLANT_DATABASE_URL"):
        await connect(f"postgresql://127.0.0.1:{free_port()}/x?sslmode=perhaps", application="test")


async def test_a_server_that_does_not_answer_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"postgresql://127.0.0.1:{listener.getsockname()[1]}/x"
        with pytest.raises(OUTAGE, match=r"the database can't be reached: no answer within 0.2 s"):
            await connect(url, application="test", timeout_s=0.2)
