"""Periodic measurement of the 24-hour volume of this process's symbols."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from db.pool import OUTAGE, REFUSED, Pool, snapshot
from db.stats import read_changes_24h
from workers.symbol_metrics import SymbolMetrics

_log = logging.getLogger(__name__)

_EVERY_S: Final = 30.0
_TIMEOUT_S: Final = 10.0


@asynccontextmanager
async def exposing_volumes(pool: Pool, *, every_s: float = _EVERY_S) -> AsyncIterator[None]:
    """Measure periodically in the background; errors do not end the worker.

    Args:
        pool: connections.
        every_s: how long to wait between.
    """
    task = asyncio.create_task(_measure(pool, every_s))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _measure(pool: Pool, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            async with snapshot(pool, timeout_s=_TIMEOUT_S) as connection:
                SymbolMetrics.note_changes(await read_changes_24h(connection, SymbolMetrics.exposed()))
        except (*OUTAGE, *REFUSED) as error:
            _log.debug("volumes could not be measured: %s", error or type(error).__name__)
