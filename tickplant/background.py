"""Tasks that run beside a block of code and end with it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

_log = logging.getLogger(__name__)

_T = TypeVar("_T")


def _log_error(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("%s has ended with an error", task.get_name(), exc_info=error)


@asynccontextmanager
async def background(
    work: Coroutine[Any, Any, _T], *, on_end: Callable[[asyncio.Task[_T]], object] | None = _log_error
) -> AsyncIterator[asyncio.Task[_T]]:
    """Run a coroutine beside the block; at the end of the block, cancel it and wait for its end.

    Its error is not raised here, but logged when it happens.

    Args:
        work: what to run.
        on_end: called with the task when it ends, by itself or by the cancellation, in place of logging its
            error; None: the caller asks the task for its result, in the block or after it.
    """
    task = asyncio.create_task(work, name=getattr(work, "__qualname__", None))
    if on_end is not None:
        task.add_done_callback(on_end)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
