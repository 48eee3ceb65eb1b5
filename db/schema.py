"""The schema version of this code, and that of a database."""

import re
from pathlib import Path
from typing import Final

import asyncpg

from tickplant.errors import FatalError, NotMigratedError

FOLDER: Final = Path(__file__).parent / "migrations"
_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


def read_migrations(folder: Path = FOLDER) -> dict[int, Path]:
    """Return the migration files by number, in order.

    Raises:
        FatalError: a file's name is not `NNNN_what.sql`, or numbers repeat.
    """
    migrations: dict[int, Path] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None or int(match[1]) <= max(migrations, default=0):
            raise FatalError(
                f"{path.name}: a migration must be named NNNN_what.sql, with a unique, rising number"
            )
        migrations[int(match[1])] = path
    return migrations


async def check_schema(connection: asyncpg.Connection) -> None:
    """Check that the database has this code's schema.

    Raises:
        NotMigratedError: it has none, or an older one.
        FatalError: it has a newer one.
    """
    known = read_migrations().keys()
    if not await connection.fetchval("select to_regclass('migration') is not null"):
        raise NotMigratedError("the database has no tickplant tables: run: tickplant migrate")
    done = {row["number"] for row in await connection.fetch("select number from migration")}
    if missing := known - done:
        raise NotMigratedError(f"the database lacks migration {min(missing)}: run: tickplant migrate")
    if unknown := done - known:
        raise newer_schema_error(max(unknown), max(known))


def newer_schema_error(done: int, known: int) -> FatalError:
    """Return the error for a database that a newer version has migrated."""
    return FatalError(
        f"the database is at migration {done}, but this version knows only {known}:"
        " install the newer tickplant again, or restore an older backup"
    )
