"""Addresses of the servers: those of the settings, or of embedded servers on the data folder."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tickplant.errors import FatalError
from tickplant.local.data_folder import data_folder, folder_in_use, start_command
from tickplant.local.folder import explained
from tickplant.local.postgres_server import PostgresServer
from tickplant.local.redis_server import RedisServer
from tickplant.settings import Settings


def running_redis(settings: Settings) -> str:
    """Return the address of Redis: the setting, or the embedded server that `tickplant up` runs.

    Raises:
        FatalError: there is neither.
    """
    if settings.redis_url is not None:
        return settings.redis_url
    folder = folder_in_use(settings)
    server = RedisServer(folder / "redis", source=settings.embedded_servers)
    if not server.folder.is_locked():
        raise FatalError(_not_running(folder, "TICKPLANT_REDIS_URL"))
    return server.url


def running_database(settings: Settings) -> str:
    """Return the address of the database: the setting, or the embedded server that `tickplant up` runs.

    Raises:
        FatalError: there is neither.
    """
    if settings.database_url is not None:
        return settings.database_url
    folder = folder_in_use(settings)
    server = PostgresServer(folder / "postgres", source=settings.embedded_servers)
    if not server.folder.is_locked():
        raise FatalError(_not_running(folder, "TICKPLANT_DATABASE_URL"))
    return server.url


@asynccontextmanager
async def open_database_server(settings: Settings, *, create: bool = False) -> AsyncIterator[str]:
    """Yield the address of the database, whose embedded server is started for the time being if need be.

    Args:
        settings: its address, or the data folder.
        create: make a new embedded database where none is.

    Raises:
        FatalError: there is none, or it can't be started.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    folder = (data_folder(settings) if create else folder_in_use(settings)) / "postgres"
    with explained(folder):
        if not create and not folder.exists():
            raise FatalError(
                f"there are no data in {folder.parent} yet: run `tickplant up` first,"
                " or name another folder with --data, or set TICKPLANT_DATABASE_URL"
            )
    server = PostgresServer(folder, source=settings.embedded_servers)
    if server.folder.is_locked():
        yield server.url
        return
    try:
        await server.start()
        yield server.url
    finally:
        await server.stop()


def tell_database(settings: Settings) -> None:
    """Say on standard error which data are meant, unless the settings name the very server or folder."""
    if settings.database_url is None and (folder := folder_in_use(settings)) != settings.data:
        print(f"data: {folder}", file=sys.stderr)


def _not_running(folder: Path, variable: str) -> str:
    return (
        f"no servers run on {folder}: start them with `{start_command(folder)}`,"
        f" or name another folder with --data, or set {variable}"
    )
