"""`tickplant migrate`: the database's schema."""

import asyncio
from argparse import ArgumentParser, Namespace
from typing import Final

HELP: Final = "bring the database to this version's schema"

DESCRIPTION: Final = """\
Run the migrations that the database lacks, in order, each once. Safe from several processes at once, and
refused where the database is newer than this version. `tickplant up` does it by itself.

The first run fixes the number of partitions and whether TimescaleDB is used.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_DATABASE_URL (or the embedded server), TICKPLANT_PARTITIONS, TICKPLANT_TIMESCALEDB

examples:
  TICKPLANT_DATABASE_URL=postgresql://user:password@host/tickplant tickplant migrate
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments: none."""


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    ran = asyncio.run(_migrate())
    for name in ran:
        print(f"ran {name}")
    if not ran:
        print("the database is up to date")
    return 0


async def _migrate() -> list[str]:
    from db.migrate import migrate
    from tickplant.cli.servers import open_database_server
    from tickplant.settings import read_settings

    settings = read_settings()
    async with open_database_server(settings, create=True) as url:
        return await migrate(url, partitions=settings.partitions, extension=settings.timescaledb)
