"""A replay under `tickplant up`: its progress and its summary."""

import asyncio
from collections.abc import Awaitable, Coroutine

from maintenance.replay import Replay
from maintenance.tape import TapeSelection
from tickplant.cli.progress import progress_in_terminal
from tickplant.cli.summary import print_summary
from tickplant.cli.terminal import Terminal


async def finish_replay(replay: Replay, selection: TapeSelection, terminal: Terminal) -> None:
    """Wait until all trades are committed, showing the progress, and print a summary.

    Raises:
        FatalError: there is no progress any more, or the database differs from the captures.
    """
    with progress_in_terminal("trades committed", terminal) as on_progress:
        result = await replay.wait(on_progress)
    print_summary(result, selection, terminal)
    result.require_equal()


async def run_until_failure(work: Coroutine[None, None, None], failure: Awaitable[None]) -> None:
    """Wait for the work to end, or for the failure that ends it early."""
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(failure)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
