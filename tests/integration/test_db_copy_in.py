"""A server that is killed in the middle of a COPY, while it reads nothing: an error at once, and no hang."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from conftest import OwnPostgres
from working import until

from db.copy_in import copy_blocks, copy_rows
from db.pool import OUTAGE, open_pool, transaction

ROW = b"x" * 999 + b"\n"
STUCK = """
create table copied (t text);
create function wait_forever() returns trigger language plpgsql as $$
begin perform pg_sleep(3600); return new; end
$$;
create trigger stuck before insert on copied for each row execute function wait_forever();
"""


async def in_one_piece(connection: asyncpg.Connection) -> None:
    await copy_rows(connection, "copied", ROW * 40_000, columns=["t"], format_="text")


async def in_blocks(connection: asyncpg.Connection) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield ROW * 1_000

    await copy_blocks(connection, "copied", blocks())


@pytest.mark.parametrize("copy", [in_one_piece, in_blocks])
async def test_a_server_killed_in_the_middle_of_a_copy_is_an_outage(
    own_postgres: OwnPostgres, copy: Callable[[asyncpg.Connection], Awaitable[None]]
) -> None:
    server = await own_postgres()
    async with open_pool(server.url, size=2, application="test", migrated=False) as pool:
        await pool.execute(STUCK)

        async def run() -> None:
            async with transaction(pool) as connection:
                await copy(connection)

        async def is_stuck() -> bool:
            return bool(
                await pool.fetchval("select count(*) from pg_stat_activity where wait_event = 'PgSleep'")
            )

        copying = asyncio.create_task(run())
        await until(is_stuck, "the server reads nothing")
        await server.kill()
        with pytest.raises(OUTAGE):
            await asyncio.wait_for(asyncio.shield(copying), 20)
