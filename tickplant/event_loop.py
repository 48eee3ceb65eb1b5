"""The event loop of every process: uvloop, or asyncio's own where uvloop doesn't exist.

uvloop's `time()` counts milliseconds, and stands still until a callback returns: it suits deadlines. What is
shorter, or doesn't return to the loop, is measured with `time.monotonic` or `time.perf_counter`.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop, which the caller closes."""
    try:
        import uvloop
    except ImportError:  # on Windows, and in other Pythons than CPython
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in an event loop of its own, as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)
