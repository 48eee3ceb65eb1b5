"""Restarts failed tasks of ingest; the failure of a task does not stop the others."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from tickplant import metrics
from tickplant.backoff import Backoff
from tickplant.errors import FatalError

_log = logging.getLogger(__name__)

_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 30.0
_HEALTHY_S: Final = 60.0
"""A task that ran longer than this before it failed is restarted after the shortest wait."""

Report = Callable[[str], Awaitable[None]]
"""Publishes that a task is down, with the reason."""


async def keep_running(
    name: str,
    run: Callable[[], Awaitable[None]],
    stop: asyncio.Event,
    *,
    venue: str,
    task: str,
    report: Report | None = None,
) -> None:
    """Run a task until it returns; restart it, with backoff, when it fails.

    Args:
        name: names the task in the log.
        run: the task; returns soon after `stop` is set.
        stop: also ends the wait before a restart.
        venue: label of the failure counter; empty for a task of no venue.
        task: label of the failure counter.
        report: publishes that the task is down.

    Raises:
        FatalError: from the task: the process can't continue.
    """
    failures = metrics.INGEST_TASK_FAILURES.labels(venue, task)
    backoff = Backoff(first_s=_FIRST_WAIT_S, cap_s=_LONGEST_WAIT_S)
    loop = asyncio.get_running_loop()
    while True:
        started_s = loop.time()
        try:
            await run()
        except FatalError:
            raise
        except asyncio.CancelledError as error:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            failure: BaseException = error  # an awaited task was cancelled, not this one
        except Exception as error:  # noqa: BLE001 - the boundary of a task
            failure = error
        else:
            return
        if stop.is_set():
            return
        failures.inc()
        _log.error("%s failed and is restarted", name, exc_info=failure)
        if report is not None:
            with contextlib.suppress(Exception):
                await report(f"failed: {type(failure).__name__}: {failure}"[:500])
        if loop.time() - started_s > _HEALTHY_S:
            backoff.reset()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), backoff.next_s())
        if stop.is_set():
            return
