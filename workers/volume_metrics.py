"""Periodic measurement of the 24-hour volume of this process's symbols."""

import asyncio
import logging
from typing import Final, NoReturn

from db.pool import OUTAGE, REFUSED, Pool, outage_reason, snapshot
from db.stats import read_changes_24h
from workers.symbol_metrics import SymbolMetrics

_log = logging.getLogger(__name__)

_INTERVAL_S: Final = 30.0
_TIMEOUT_S: Final = 10.0


async def measure_volumes(pool: Pool, *, interval_s: float = _INTERVAL_S) -> NoReturn:
    """Measure volumes again and again; where the database refuses or is unavailable, try the next time.

    Args:
        pool: connections.
        interval_s: the wait before each time.
    """
    while True:
        await asyncio.sleep(interval_s)
        try:
            async with snapshot(pool, timeout_s=_TIMEOUT_S) as connection:
                SymbolMetrics.note_changes(await read_changes_24h(connection, SymbolMetrics.exposed()))
        except (*OUTAGE, *REFUSED) as error:
            _log.debug("volumes could not be measured: %s", outage_reason(error))
