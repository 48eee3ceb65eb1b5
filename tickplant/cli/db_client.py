"""`tickplant db url` and `tickplant db psql`: access to the database for other clients."""

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from signal import SIGINT
from urllib.parse import unquote, urlsplit, urlunsplit

from db.hosts import for_other_clients
from tickplant.errors import FatalError
from tickplant.local.addresses import open_database_server, print_data_folder, running_database
from tickplant.local.binaries import find_postgres
from tickplant.settings import Settings


def database_address(settings: Settings) -> str:
    """Return the address, with its password, in the form that psql, psycopg and SQLAlchemy all take.

    Raises:
        FatalError: no server runs there.
    """
    print_data_folder(settings)
    return for_other_clients("postgresql://" + running_database(settings).partition("://")[2])


async def run_psql(settings: Settings, arguments: Sequence[str]) -> int:
    """Run psql on the database, whose embedded server is started for the time being if need be.

    Args:
        settings: where the database is.
        arguments: of psql.

    Returns:
        Its exit code.

    Raises:
        FatalError: psql is not installed, or there is no database.
    """
    program = _find_psql(settings)
    print_data_folder(settings)
    async with open_database_server(settings) as url:
        parts = urlsplit(for_other_clients(url))
        address = urlunsplit(parts._replace(netloc=_without_password(parts.netloc)))
        password = {"PGPASSWORD": unquote(parts.password)} if parts.password else {}
        # Ctrl-C is psql's: it ends a query, not the session.
        asyncio.get_running_loop().add_signal_handler(SIGINT, lambda: None)
        process = await asyncio.create_subprocess_exec(
            program, address, *arguments, env={**os.environ, **password}
        )
        return await process.wait()


def _find_psql(settings: Settings) -> str:
    """Return the program: the machine's own, or the one beside the embedded server's."""
    if found := shutil.which("psql"):
        return found
    try:
        beside: Path | None = find_postgres(settings.embedded_servers).bin / "psql"
    except FatalError:
        beside = None
    if beside is None or not beside.exists():
        raise FatalError(
            "psql is not installed: install it (Debian, Ubuntu: postgresql-client; macOS: brew install"
            " libpq), or give the address that `tickplant db url` prints to another client"
        )
    return str(beside)


def _without_password(netloc: str) -> str:
    user, at, host = netloc.rpartition("@")
    return user.partition(":")[0] + at + host
