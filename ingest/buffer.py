"""A memory bound for frames that are received and not yet published, shared by all connections."""

import logging
from collections.abc import Callable
from typing import Final

from tickplant import metrics
from tickplant.outage import OutageLog

_log = logging.getLogger(__name__)

FRAME_BYTES: Final = 64
"""Memory of a frame besides its text."""
_FRAMES: Final = 4_096
"""The most frames of one connection that may wait while Redis answers."""
_UNAVAILABLE_S: Final = 3.0
"""Redis counts as unavailable after this time without an answer."""
_ROOM: Final = 0.5
"""After the buffer was full, that it has room is logged once less than this share is used."""


class FrameBuffer:
    """A memory bound that all connections of a process share.

    While workers lag, sockets are paused after a few frames, and TCP slows the venue down. While Redis is
    unavailable, sockets are read until the bound is reached, so that a venue without history loses nothing.

    Args:
        limit_bytes: for all frames together.
        unanswered_s: returns for how long Redis has not answered.
    """

    def __init__(self, limit_bytes: int, unanswered_s: Callable[[], float]) -> None:
        self._limit_bytes = limit_bytes
        self._unanswered_s = unanswered_s
        self._used_bytes = 0
        self._outage = OutageLog(_log, "sockets are paused", "sockets are read again")
        metrics.INGEST_BUFFERED_BYTES.set_function(lambda: self._used_bytes)

    def is_full(self, waiting_frames: int) -> bool:
        """Return whether a socket with this number of waiting frames must be paused."""
        if self._used_bytes >= self._limit_bytes:
            return True
        return waiting_frames >= _FRAMES and self._unanswered_s() < _UNAVAILABLE_S

    def add(self, size: int) -> None:
        """Count bytes that are now held."""
        self._used_bytes += size
        if self._used_bytes >= self._limit_bytes:
            self._outage.note_failure(f"{self._limit_bytes >> 20} MB of frames wait to be published")

    def remove(self, size: int) -> None:
        """Count bytes that are no longer held."""
        self._used_bytes -= size
        if self._used_bytes < self._limit_bytes * _ROOM:
            self._outage.note_success()
