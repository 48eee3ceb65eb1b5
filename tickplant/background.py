"""Tasks that run beside a block of code and end with it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

_T = TypeVar("_T")


@asynccontextmanager
async def background(
    work: Coroutine[Any, Any, _T], *, on_end: Callable[[asyncio.Task[_T]], object] | None = None
) -> AsyncIterator[asyncio.Task[_T]]:
    """Run a coroutine beside the block; at the end of the block, cancel it and wait for its end.

    Its error is not raised here: ask the task for its result, after the block too, or pass `on_end`.

    Args:
        work: what to run.
        on_end: called with the task when it ends, by itself or by the cancellation.
    """
    task = asyncio.create_task(work)
    if on_end is not None:
        task.add_done_callback(on_end)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
