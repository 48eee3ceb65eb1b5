"""The scripts of docs/recipes.md, as they are written, over a database, files, an archive and the API."""

import asyncio
import re
import shlex
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from api_plant import BTC, running_plant
from client_programs import programs, run_client
from conftest import REPOSITORY, on_one_variant
from correct import SYMBOL, random_trades, store, store_candles
from forked import run_apart

from tickplant.intervals import DAY_US, floor
from tickplant.times import to_datetime

pytestmark = [on_one_variant, pytest.mark.slow]

TRADES: Final = random_trades(seed=1)
LAST_DAY_US: Final = floor(TRADES[-1].event_time_us, DAY_US)
DOCUMENT: Final = (REPOSITORY / "docs" / "recipes.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, flags=re.DOTALL)


async def test_every_recipe_runs_and_finds_all_rows(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(database_url, server_settings={"timezone": "UTC"})
    await store(connection, TRADES)
    await connection.execute("update plant set source = 'live'")
    await connection.execute(
        "update ledger set watermark = $1", to_datetime(LAST_DAY_US) + timedelta(hours=54)
    )
    await store_candles(connection, TRADES, LAST_DAY_US + DAY_US * 54 // 24)
    hours = await connection.fetchval("select count(*) from candles where interval = '1h'")
    days = await connection.fetchval("select count(distinct event_time::date) from trades")
    volume = await connection.fetchval("select sum(size) from trades")
    await connection.close()
    environment = {"TICKPLANT_DATABASE_URL": database_url, "TICKPLANT_ARCHIVE_AFTER_DAYS": "1"}
    (commands,) = blocks("sh")
    for line in commands.splitlines():
        words = shlex.split(line)[1:]
        ended = await asyncio.to_thread(run_apart, *words, environment=environment, folder=tmp_path)
        assert ended.returncode == 0, ended
    printed = ""
    bin_folder = await asyncio.to_thread(programs)
    async with running_plant(redis_url, database_url, symbols=[BTC]) as plant:
        assert str(BTC) == str(SYMBOL)
        for number, script in enumerate(blocks("python")):
            path = tmp_path / f"recipe_{number}.py"
            path.write_text(script.replace("http://127.0.0.1:8080", plant.address))
            printed += await run_client(bin_folder / "python", path, folder=tmp_path)
    assert f"candles {hours} volume" in printed
    assert f"days {days} mean close" in printed
    found = re.search(rf"^trades {len(TRADES)} volume (\S+)$", printed, flags=re.MULTILINE)
    assert found, printed
    assert Decimal(found[1]) == volume
    assert f"candles over HTTP {hours}" in printed
    assert f"freqtrade has {hours} candles" in printed
    assert f"bars {hours} value" in printed
    assert re.search(r"archived hours \d+", printed)
