"""Keeps the tasks of ingest running: one that fails is started again, and takes no other along."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from tickplant import metrics
from tickplant.backoff import Backoff
from tickplant.errors import FatalError

_log = logging.getLogger(__name__)

_FIRST_S: Final = 1.0
_CAP_S: Final = 30.0
_HEALTHY_S: Final = 60.0
"""After having run for so long, a task that fails begins with a short wait again."""

Report = Callable[[str], Awaitable[None]]
"""Takes why a task is down."""


async def keep_running(
    name: str,
    run: Callable[[], Awaitable[None]],
    stop: asyncio.Event,
    *,
    venue: str,
    task: str,
    report: Report | None = None,
) -> None:
    """Run something until it returns; start it again, with backoff, when it fails.

    Args:
        name: for the log.
        run: what is run; returns soon after `stop` is set.
        stop: ends the waiting, too.
        venue: which it belongs to, for the count of failures; empty where it belongs to none.
        task: what it is, likewise.
        report: tells others that it is down.

    Raises:
        FatalError: raised by it: the process can't go on.
    """
    failures = metrics.INGEST_TASK_FAILURES.labels(venue, task)
    backoff = Backoff(first_s=_FIRST_S, cap_s=_CAP_S)
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
            failure: BaseException = error  # not this task was cancelled, but one that it waited for
        except Exception as error:  # noqa: BLE001 - the boundary of a task
            failure = error
        else:
            return
        if stop.is_set():
            return
        failures.inc()
        _log.error("%s has failed and is started again", name, exc_info=failure)
        if report is not None:
            with contextlib.suppress(Exception):
                await report(f"failed: {type(failure).__name__}: {failure}"[:500])
        if loop.time() - started_s > _HEALTHY_S:
            backoff.reset()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), backoff.next_s())
        if stop.is_set():
            return
