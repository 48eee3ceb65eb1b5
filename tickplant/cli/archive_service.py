"""`tickplant archive --every`: archives again and again, until it is stopped."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from tickplant import metrics
from tickplant.cli.external_errors import explain
from tickplant.errors import UsageError
from tickplant.probes import ServiceReadiness
from tickplant.service import run_service, run_unless_stopped
from tickplant.settings import Settings

_log = logging.getLogger(__name__)

Say = Callable[[str], None]


def run_periodically(
    archive: Callable[[Say], Coroutine[Any, Any, int]], settings: Settings, *, every_s: float
) -> int:
    """Run until a signal stops it, also in the middle of a day; return the exit code.

    Args:
        archive: archives what is due, and reports it.
        settings: log level, and where to serve metrics and probes.
        every_s: the wait between two runs. After one that failed, as in an outage, it is the same.
    """
    readiness = ServiceReadiness()

    async def run_once() -> None:
        try:
            await archive(_log.info)
        except UsageError:
            raise
        except Exception as error:
            explained = explain(error)
            if explained is None:
                raise
            metrics.ARCHIVE_FAILED_RUNS.inc()
            readiness.note("archive", str(explained))
            _log.warning("archiving failed, and will be tried again: %s", explained)
        else:
            metrics.ARCHIVE_LAST_RUN_S.set(time.time())
            readiness.note("archive", None)

    async def work(stop: asyncio.Event) -> None:
        readiness.note("archive", None)
        while not stop.is_set():
            await run_unless_stopped(run_once(), stop)
            await run_unless_stopped(asyncio.sleep(every_s), stop)

    return run_service("archive", work, settings, readiness=readiness)
