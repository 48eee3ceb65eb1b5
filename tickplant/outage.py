"""Logs of outages: one line when a server becomes unavailable, one when it is available again."""

import logging


class OutageLog:
    """Logs the first failure of a series, and the first success after it.

    Attributes:
        active: whether the last attempt failed.
    """

    def __init__(self, log: logging.Logger, failure: str, recovery: str | None = None) -> None:
        """Take the messages.

        Args:
            log: the logger of the caller's module.
            failure: logged as a warning, followed by a colon and the reason.
            recovery: logged as an info; None: nothing is.
        """
        self._log = log
        self._failure = failure
        self._recovery = recovery
        self.active = False

    def note_failure(self, reason: BaseException | str) -> bool:
        """Note that an attempt failed; return whether this is the first failure of the outage."""
        if self.active:
            return False
        self.active = True
        self._log.warning("%s: %s", self._failure, str(reason) or type(reason).__name__)
        return True

    def note_success(self) -> bool:
        """Note that an attempt succeeded; return whether this ends an outage."""
        if not self.active:
            return False
        self.active = False
        if self._recovery is not None:
            self._log.info("%s", self._recovery)
        return True
