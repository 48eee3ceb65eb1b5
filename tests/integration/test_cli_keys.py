"""`tickplant keys`, as a user runs it."""

import asyncio
import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import asyncpg
import pytest
from conftest import on_one_variant
from forked import run_apart

from db.inspection import inspect
from tickplant.api_keys import digest_of, key_id_of

pytestmark = on_one_variant

Run = Any


@pytest.fixture
def run(database_url: str, tmp_path: Path) -> Run:
    async def run(*arguments: str) -> CompletedProcess[str]:
        settings = {"TICKPLANT_DATABASE_URL": database_url}
        return await asyncio.to_thread(run_apart, "keys", *arguments, environment=settings, folder=tmp_path)

    return run


async def test_a_key_is_made_listed_and_revoked(run: Run, database_url: str) -> None:
    made = await run("create", "phone", "--scope", "alerts", "--scope", "read")
    key = made.stdout.strip()
    assert key_id_of(key) is not None, "only the key is on the standard output"
    assert "phone" in made.stderr
    connection = await asyncpg.connect(database_url)
    (row,) = map(dict, await connection.fetch("select * from api_keys"))
    await connection.close()
    assert (row["digest"], row["scopes"]) == (digest_of(key), ["read", "alerts"])
    assert key.rpartition("_")[2] not in str(row)
    taken = await run("create", "phone")
    assert (taken.returncode, "revoke" in taken.stderr) == (1, True)
    listed = json.loads((await run("list", "--json")).stdout)
    assert [(each["key"], each["name"], each["revoked"]) for each in listed] == [(key[:15], "phone", None)]
    assert key not in (await run("list")).stdout
    assert (await inspect(database_url)).api_keys == 1
    assert (await run("revoke", "phone")).returncode == 0
    assert (await run("revoke", key[:15])).returncode == 1
    assert json.loads((await run("list", "--json")).stdout)[0]["revoked"] is not None
    assert (await inspect(database_url)).api_keys == 0
    assert (await run("create", "phone")).returncode == 0, "the name is free again"


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 65])
async def test_a_name_that_can_not_be_read_is_refused(run: Run, name: str) -> None:
    assert (await run("create", name)).returncode == 2
