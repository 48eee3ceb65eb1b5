"""Calls a user's code in isolation from the worker.

Calls are synchronous, so every exception is the strategy's: also those that elsewhere stop a task or the
process, such as CancelledError, KeyboardInterrupt or SystemExit. The code runs without access to the event
loop, and with a decimal context of its own.
"""

import asyncio
import decimal
import traceback
from asyncio import _get_running_loop, _set_running_loop
from collections.abc import Callable
from contextvars import copy_context
from itertools import islice
from typing import Final, ParamSpec, TypeVar

MOST_REASON_CHARS: Final = 500
MOST_TRACEBACK_CHARS: Final = 16_000
_MOST_FRAMES: Final = -20
"""Of each error in a chain; the innermost."""
_MOST_PARTS: Final = 400
_MOST_PART_CHARS: Final = 2_000
_UNREADABLE: Final = "an error whose text can't be read"

P = ParamSpec("P")
T = TypeVar("T")


class UserCodeError(Exception):
    """A user's code has raised something."""

    def __init__(self, reason: str, traceback: str) -> None:
        """Take the bounded text of what it raised."""
        super().__init__(reason)
        self.reason = reason
        self.traceback = traceback


class Caller:
    """Calls the code of one strategy."""

    def __init__(self) -> None:
        self._context = copy_context()
        # A copy, since contexts share the object: a precision set in one would apply in all.
        self._context.run(lambda: decimal.setcontext(decimal.getcontext().copy()))

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function.

        Raises:
            UserCodeError: it has raised anything.
        """
        loop = _get_running_loop()
        _set_running_loop(None)
        try:
            return self._context.run(function, *args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - see the module
            raise UserCodeError(reason_of(error), traceback_of(error)) from None
        finally:
            _set_running_loop(loop)


def hide_event_loop() -> None:
    """Make `asyncio.get_event_loop` fail in this thread outside coroutines."""
    asyncio.set_event_loop(None)


def reason_of(error: BaseException) -> str:
    """Return the type and text of an error in one bounded line, even if its methods raise."""
    try:
        text = str(error)
        name = type(error).__name__
        return _printable(f"{name}: {text:.{MOST_REASON_CHARS}}" if text else name, MOST_REASON_CHARS)
    except BaseException:  # noqa: BLE001 - its methods are user code
        return _named(error)


def traceback_of(error: BaseException) -> str:
    """Return an error's traceback; only its last lines if it is long."""
    try:
        lines = traceback.TracebackException.from_exception(error, limit=_MOST_FRAMES, compact=True).format()
        text = "".join(part[:_MOST_PART_CHARS].rstrip("\n") + "\n" for part in islice(lines, _MOST_PARTS))
        return _printable(text[-MOST_TRACEBACK_CHARS:], MOST_TRACEBACK_CHARS)
    except BaseException:  # noqa: BLE001 - likewise
        return f"{_named(error)}\n"


def _named(error: BaseException) -> str:
    name = type.__getattribute__(type(error), "__name__")
    return f"{name:.100}: {_UNREADABLE}"


def _printable(text: str, most: int) -> str:
    """Return text that can be encoded, cut to a length."""
    return text[:most].encode("utf-8", "backslashreplace").decode()
