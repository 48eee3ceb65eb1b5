"""Periodic removal of old rows, by whichever worker is first."""

import asyncio
import logging
from typing import Final, NoReturn

from db.pool import OUTAGE, REFUSED, Pool, outage_reason
from db.retention import remove_expired

_log = logging.getLogger(__name__)

_FIRST_S: Final = 60.0
_INTERVAL_S: Final = 3600.0


async def remove_periodically(
    pool: Pool, *, first_s: float = _FIRST_S, interval_s: float = _INTERVAL_S
) -> NoReturn:
    """Remove old rows again and again; where the database refuses or is unavailable, try the next time.

    Args:
        pool: connections.
        first_s: the wait before the first time.
        interval_s: the wait between two times.
    """
    wait_s = first_s
    while True:
        await asyncio.sleep(wait_s)
        wait_s = interval_s
        try:
            await remove_expired(pool)
        except (*OUTAGE, *REFUSED) as error:
            _log.warning("old rows could not be removed, will retry: %s", outage_reason(error))
