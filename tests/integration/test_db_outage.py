"""Errors of a lost connection say so, in words for people."""

import asyncpg
import pytest
from conftest import on_one_variant

from db.pool import OUTAGE, connect, database_error, open_pool, transaction

pytestmark = on_one_variant


async def test_a_connection_that_ends_in_a_transaction_is_reported_as_lost(database_url: str) -> None:
    other = await connect(database_url, application="test")

    async def lose(pool: asyncpg.Pool) -> None:
        async with transaction(pool) as connection:
            await other.execute("select pg_terminate_backend($1, 5000)", connection.get_server_pid())
            with pytest.raises(asyncpg.PostgresError):
                await connection.execute("select 1")

    async with open_pool(database_url, size=1, application="victim") as pool:
        with pytest.raises(OUTAGE) as found:
            await lose(pool)
    await other.close()
    message = str(database_error(found.value))
    assert message.startswith("the database can't be reached: the connection to the database was lost;")
