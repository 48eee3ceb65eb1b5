"""Sends messages through Apprise, in threads, since it blocks.

Apprise reports why a message failed only in its log lines, which can contain secrets. So these go nowhere
else, and what becomes a reason loses every part of the target's URL.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from tickplant.apprise_targets import open_target
from tickplant.errors import TickplantError
from tickplant.logs import Secrets
from tickplant.notifications import Target, message_of, secrets_in
from workers.outbox import FailedError

_apprise_log = logging.getLogger("apprise")

_MAX_CHARS: Final = 4000
"""Of a message, even where more would be accepted: somebody is to read it."""
_FORMATTED: Final = 0.75
"""The share of a target's limit that is used: escaping makes texts longer."""
_MAX_REASON_CHARS: Final = 300


class NotificationSender:
    """Sends messages to targets; a context manager."""

    def __init__(self, targets: Sequence[Target]) -> None:
        """Take the targets."""
        self._targets = {target.name: target for target in targets}
        self._reasons = _ThreadReasons()

    def __enter__(self) -> Self:
        """Read Apprise's log lines."""
        _apprise_log.addHandler(self._reasons)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Read them no longer."""
        _apprise_log.removeHandler(self._reasons)

    async def send(self, name: str, texts: Sequence[str]) -> None:
        """Send texts to a target as one message.

        Raises:
            FailedError: it was not accepted, as far as is known; the message contains no secrets.
        """
        target = self._targets.get(name)
        if target is None:
            raise FailedError(f"TICKPLANT_NOTIFY has no target {name}")
        await _in_thread(lambda: self._send(target, texts))

    def _send(self, target: Target, texts: Sequence[str]) -> None:
        from apprise import NotifyFormat

        self._reasons.start()
        try:
            service = open_target(target)
            most = round(min(service.body_maxlen, _MAX_CHARS) * _FORMATTED)
            title, body = message_of(texts, most)
            accepted = service.notify(title=title, body=body, body_format=NotifyFormat.TEXT)
        except TickplantError as error:
            raise FailedError(str(error)) from None
        except Exception as error:  # noqa: BLE001 - a plugin's error, whose text may contain secrets
            raise FailedError(
                f"{type(error).__name__} in the plugin {target.url.partition(':')[0]}"
            ) from None
        if not accepted:
            reason = Secrets(secrets_in(target.url)).hide("; ".join(self._reasons.texts()))
            raise FailedError(reason[:_MAX_REASON_CHARS] or "not accepted")


class _ThreadReasons(logging.Handler):
    """The warnings of Apprise in each thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines = threading.local()

    def start(self) -> None:
        """Forget the former lines of this thread."""
        self._lines.texts = []

    def texts(self) -> list[str]:
        """Return the lines of this thread."""
        return list(self._lines.texts)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line if its thread is sending."""
        if hasattr(self._lines, "texts"):
            self._lines.texts.append(record.getMessage().strip())


async def _in_thread(work: Callable[[], None]) -> None:
    """Run work that blocks in a thread of its own, which doesn't delay the end of the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if not done.done():
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            work()
        except BaseException as raised:  # noqa: BLE001 - it is raised in the loop
            error = raised
        _call(loop, finish, error)

    threading.Thread(target=run, name="notification", daemon=True).start()
    await done


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[Any], None], argument: Any) -> None:
    """Call a function in a loop, unless it has been closed in the meantime."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function, argument)
