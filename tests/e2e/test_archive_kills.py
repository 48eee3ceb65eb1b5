"""`tickplant archive`, killed at any moment and started again, ends in the same archive as undisturbed."""

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
from conftest import on_last_variant
from correct import random_trades, store, store_candles
from msgspec.structs import replace
from processes import Processes, kill
from working import until

from tickplant.intervals import DAY_US, floor
from tickplant.times import to_datetime

KILLS = 6
SYMBOLS = [f"S{number}USDT" for number in range(6)]
TRADES = random_trades(seed=5)
LAST_US = floor(TRADES[-1].event_time_us, DAY_US)


def data_in(folder: Path) -> dict[str, Any]:
    """What an archive holds, but for when it was written."""
    found: dict[str, Any] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.suffix == ".parquet":
            found[name] = path.read_bytes()
        elif path.is_file() and "manifests" in name:
            document = json.loads(path.read_text())
            found[name] = {key: document[key] for key in document if key not in ("archive_id", "archived_at")}
    return found


def count_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


@on_last_variant
async def test_killed_at_any_moment_it_ends_in_the_same(database_url: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(database_url)
    for symbol in SYMBOLS:
        trades = [replace(trade, symbol=symbol) for trade in TRADES]
        await store(connection, trades)
        await store_candles(connection, trades, LAST_US + 2 * DAY_US)
    await connection.execute("update plant set source = 'live'")
    await connection.execute("update ledger set watermark = $1", to_datetime(LAST_US) + timedelta(days=2))
    variables = {
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_ARCHIVE_AFTER_DAYS": "1",
        "TICKPLANT_ARCHIVE_URL": str(tmp_path / "whole"),
    }
    async with Processes(variables, tmp_path) as processes:
        code, output = await processes.run("archive", "--no-venue")
        assert code == 0, output + processes.logs()
        expected = data_in(tmp_path / "whole")
        assert len(expected) == 3 * len(SYMBOLS) * len(
            {floor(trade.event_time_us, DAY_US) for trade in TRADES}
        )
        await connection.execute("delete from archived_days; delete from archive")

        archive = tmp_path / "killed"
        processes.set(TICKPLANT_ARCHIVE_URL=str(archive))
        rng = random.Random(1)
        for number in range(KILLS):
            wanted = len(expected) * number // (KILLS + 1)
            command = await processes.start("archive", "--no-venue")
            await _until_written(archive, wanted + rng.randrange(3))
            await kill(command)
            await until(lambda: _is_gone(connection), "the database has noticed its end")
        code, output = await processes.run("archive", "--no-venue")
        assert code == 0, output + processes.logs()
        assert data_in(archive) == expected
        assert not list(archive.rglob("*.part"))
        code, output = await processes.run("archive", "verify", "--database")
        assert (code, "everything is as it was written" in output) == (0, True), output
    await connection.close()


async def _is_gone(connection: asyncpg.Connection) -> bool:
    """Return whether no session is left of a killed process, whose lock would refuse the next one."""
    return not await connection.fetchval(
        "select count(*) from pg_stat_activity where application_name like 'tickplant archive%'"
        " and datname = current_database()"
    )


async def _until_written(archive: Path, files: int) -> None:
    async def are_there() -> bool:
        return count_files(archive) > files

    await until(are_there, f"{files} files of the archive")
