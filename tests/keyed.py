"""API keys for tests, and the header that they are sent in."""

import asyncpg

from db.api_keys import create_api_key, revoke_api_key
from tickplant.api_keys import NewKey, Scope, make_key


async def new_key(database_url: str, *scopes: Scope, name: str = "test") -> NewKey:
    key = make_key()
    connection = await asyncpg.connect(database_url)
    await create_api_key(connection, key, name, scopes)
    await connection.close()
    return key


def bearer(key: NewKey | str) -> dict[str, str]:
    return {"authorization": f"Bearer {key if isinstance(key, str) else key.text}"}


async def revoke(database_url: str, key: NewKey) -> None:
    connection = await asyncpg.connect(database_url)
    assert await revoke_api_key(connection, key.key_id)
    await connection.close()
