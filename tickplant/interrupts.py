"""Ctrl-C: cancels the main task of an event loop; outside of one it ends the process by the signal."""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from signal import SIG_IGN, SIGINT, getsignal, signal
from typing import Any, TypeVar

from tickplant import event_loop

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; Ctrl-C cancels it, and a second one ends the process at once.

    Raises:
        KeyboardInterrupt: it was cancelled by Ctrl-C.
    """
    interrupted = False

    async def interruptible() -> T:
        task = asyncio.current_task()
        assert task is not None

        def on_sigint() -> None:
            nonlocal interrupted
            if interrupted:
                os._exit(128 + SIGINT)
            interrupted = True
            task.cancel()

        if getsignal(SIGINT) is not SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(SIGINT, on_sigint)
        return await main

    with restored_sigint():
        try:
            return event_loop.run(interruptible())
        except asyncio.CancelledError:
            if interrupted:
                raise KeyboardInterrupt from None
            raise


@contextmanager
def restored_sigint() -> Iterator[None]:
    """Restore the handler of SIGINT at the end: a closed event loop leaves Python's own, which raises."""
    before = getsignal(SIGINT)
    try:
        yield
    finally:
        signal(SIGINT, before)
