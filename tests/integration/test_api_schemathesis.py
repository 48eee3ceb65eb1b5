"""Generated requests: every answer is one that the OpenAPI document describes, and none is a server error."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from api_plant import Plant, live, running_plant, trade
from conftest import on_one_variant
from keyed import new_key

from api.open_services import AccessSettings
from tickplant.api_keys import Scope

pytestmark = on_one_variant

EXAMPLES = os.environ.get("TICKPLANT_TEST_EXAMPLES")
"""Generated requests of each operation; with those at the edges of its schema, too, if it is set."""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


async def schemathesis(plant: Plant, folder: Path, *options: str) -> tuple[int, str]:
    """Run the program on the API's own document; return its exit code and what it has found."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{plant.address}/docs/openapi.json"),
        *("--checks", CHECKS, "--max-examples", EXAMPLES or "4", "--seed", "1", "--no-color"),
        *(
            "--phases",
            "examples,coverage,fuzzing" if EXAMPLES else "fuzzing",
            "--exclude-path-regex",
            "^/(ws|sse)",  # streams have no end
            *options,
        ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.parametrize("scope", ["admin", None])
async def test_every_answer_is_documented(
    redis_url: str, database_url: str, scope: Scope | None, tmp_path: Path
) -> None:
    """With a key that may do everything, and without any."""
    key = None if scope is None else await new_key(database_url, scope)
    await new_key(database_url, "read", name="another, without which the API doesn't start")
    async with running_plant(redis_url, database_url, access=AccessSettings(host="0.0.0.0")) as plant:
        await live(plant)
        await plant.store(*(trade(number) for number in range(300)))
        sent = () if key is None else ("--header", f"Authorization: Bearer {key.text}")
        code, found = await schemathesis(plant, tmp_path, *sent)
        assert code == 0, found
        assert (await plant.http.get("/health/live")).status_code == 200
