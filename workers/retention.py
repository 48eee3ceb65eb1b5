"""Periodic removal of old rows, by whichever worker is first."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from db.pool import OUTAGE, REFUSED, Pool
from db.retention import remove_expired

_log = logging.getLogger(__name__)

_FIRST_S: Final = 60.0
_EVERY_S: Final = 3600.0


@asynccontextmanager
async def removing_expired(
    pool: Pool, *, first_s: float = _FIRST_S, every_s: float = _EVERY_S
) -> AsyncIterator[None]:
    """Remove old rows periodically in the background; errors do not end the worker.

    Args:
        pool: connections.
        first_s: how long to wait before the first time.
        every_s: how long to wait between.
    """
    task = asyncio.create_task(_remove(pool, first_s, every_s))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _remove(pool: Pool, first_s: float, every_s: float) -> None:
    wait_s = first_s
    while True:
        await asyncio.sleep(wait_s)
        wait_s = every_s
        try:
            await remove_expired(pool)
        except (*OUTAGE, *REFUSED) as error:
            _log.warning("old rows could not be removed, will retry: %s", error or type(error).__name__)
