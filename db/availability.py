"""Waits for a server that is not there yet, or for a migration that another process runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from db.pool import CONNECT_S, OUTAGE, REFUSED, DatabaseConnection, connect, database_error
from db.schema import check_schema
from tickplant.errors import FatalError, NotMigratedError

_log = logging.getLogger(__name__)

_POLL_S: Final = 0.5

_Check = Callable[[DatabaseConnection], Awaitable[None]]


async def wait_for_server(url: str, wait_s: float) -> None:
    """Wait until the database can be reached.

    Args:
        url: postgresql:// address.
        wait_s: the longest wait, in seconds; 0 for a single attempt.

    Raises:
        FatalError: it can't be reached, or refuses this user.
    """
    await _wait(url, wait_s, _accept, passing=OUTAGE)


async def wait_for_schema(url: str, wait_s: float) -> None:
    """Wait until the database has this version's schema.

    Args:
        url: postgresql:// address; the user may be one that the migration creates.
        wait_s: the longest wait, in seconds; 0 for a single attempt.

    Raises:
        NotMigratedError: it has no schema, or an older one.
        FatalError: it can't be reached, refuses this user, or has a newer schema.
    """
    await _wait(url, wait_s, check_schema, passing=(*OUTAGE, *REFUSED))


async def _accept(_: DatabaseConnection) -> None:
    """Check nothing but the connection."""


async def _wait(url: str, wait_s: float, check: _Check, *, passing: tuple[type[Exception], ...]) -> None:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + wait_s
    reason = ""
    while True:
        left_s = deadline_s - loop.time()
        try:
            return await _try(url, check, timeout_s=max(1.0, min(CONNECT_S, left_s)) if wait_s else CONNECT_S)
        except NotMigratedError as error:
            problem: FatalError = error
        except (*OUTAGE, *REFUSED) as error:
            problem = database_error(error)
            if not isinstance(error, passing):
                raise problem from error
        if left_s <= 0:
            raise problem
        if reason != (reason := str(problem)):
            _log.warning("waiting up to %.0f s: %s", left_s, reason)
        await asyncio.sleep(min(_POLL_S, left_s))


async def _try(url: str, check: _Check, *, timeout_s: float) -> None:
    connection = await connect(url, application="tickplant migrate", timeout_s=timeout_s)
    try:
        await check(connection)
    finally:
        connection.terminate()
