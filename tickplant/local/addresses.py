"""Addresses of Redis and the database: from the settings, or of embedded servers."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tickplant.errors import FatalError
from tickplant.local.data_folder import briefly_used, folder_in_use, start_command
from tickplant.local.folder import explained_file_errors
from tickplant.local.postgres_server import PostgresServer
from tickplant.local.redis_server import RedisServer
from tickplant.settings import Settings, variable


def running_redis(settings: Settings) -> str:
    """Return the address of Redis: from the settings, or of the embedded server that `tickplant up` runs.

    Raises:
        FatalError: no server is running.
    """
    return settings.redis_url or _running_server(settings, RedisServer, "redis")


def running_database(settings: Settings) -> str:
    """Return the address of the database: from the settings, or of the embedded server.

    Raises:
        FatalError: no server is running.
    """
    return settings.database_url or _running_server(settings, PostgresServer, "postgres")


@asynccontextmanager
async def open_database_server(settings: Settings, *, create: bool = False) -> AsyncIterator[str]:
    """Yield the address of the database, whose embedded server is started for the context if need be.

    Args:
        settings: contain its address, or the data folder.
        create: whether to create an embedded database if there is none.

    Raises:
        FatalError: there is no database, or its server can't be started.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    folder = folder_in_use(settings) / "postgres"
    with explained_file_errors(folder):
        if not create and not folder.exists():
            raise FatalError(
                f"{folder.parent} contains no data yet: run `tickplant up` first,"
                " or choose another folder with --data, or set TICKPLANT_DATABASE_URL"
            )
    server = PostgresServer(folder, source=settings.embedded_servers)
    if server.folder.is_locked():
        yield server.url
        return
    with briefly_used(folder):
        try:
            await server.start()
            yield server.url
        finally:
            await server.stop()


def print_data_folder(settings: Settings) -> None:
    """Print the database's folder to standard error, unless the settings name it or a server."""
    if settings.database_url is None and (folder := folder_in_use(settings)) != settings.data:
        print(f"data: {folder}", file=sys.stderr)


def _running_server(
    settings: Settings, kind: type[RedisServer] | type[PostgresServer], subfolder: str
) -> str:
    """Return the address of an embedded server that is running.

    Raises:
        FatalError: it is not running.
    """
    folder = folder_in_use(settings)
    server = kind(folder / subfolder, source=settings.embedded_servers)
    if not server.folder.is_locked():
        setting = "redis_url" if kind is RedisServer else "database_url"
        raise FatalError(
            f"no servers are running on {folder}: start them with `{start_command(folder)}`,"
            f" or choose another folder with --data, or set {variable(setting)}"
        )
    return server.url
