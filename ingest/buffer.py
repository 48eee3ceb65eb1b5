"""What the connections of a process may hold of frames that have not been published yet."""

import logging
from collections.abc import Callable
from typing import Final

from tickplant import metrics

_log = logging.getLogger(__name__)

FRAME_BYTES: Final = 64
"""What a frame takes in memory besides its text."""
_FRAMES: Final = 4_096
"""How many may wait in one connection while Redis answers."""
_UNAVAILABLE_S: Final = 3.0
"""After so long without an answer Redis counts as unavailable."""
_ROOM: Final = 0.5
"""The share of the limit below which the buffer no longer counts as having been full."""


class FrameBuffer:
    """A bound that all connections of a process share.

    Usually little waits: who publishes more slowly than frames come, as while workers lag, leaves sockets
    unread, and the venues' TCP does the rest. While Redis is unavailable, sockets are read until the bound is
    reached, so that a venue without history loses nothing.

    Args:
        limit_bytes: of all frames together.
        unanswered_s: says for how long Redis has not answered.
    """

    def __init__(self, limit_bytes: int, unanswered_s: Callable[[], float]) -> None:
        self._limit_bytes = limit_bytes
        self._unanswered_s = unanswered_s
        self._used_bytes = 0
        self._was_full = False
        metrics.INGEST_BUFFERED_BYTES.set_function(lambda: self._used_bytes)

    def takes_no_more(self, waiting_frames: int) -> bool:
        """Say whether a socket with so many frames waiting must be left unread."""
        if self._used_bytes >= self._limit_bytes:
            return True
        return waiting_frames >= _FRAMES and self._unanswered_s() < _UNAVAILABLE_S

    def add(self, size: int) -> None:
        """Note bytes that are held."""
        self._used_bytes += size
        if self._used_bytes >= self._limit_bytes and not self._was_full:
            self._was_full = True
            megabytes = self._limit_bytes >> 20
            _log.warning("%d MB of frames wait to be published: sockets are left unread", megabytes)

    def remove(self, size: int) -> None:
        """Note bytes that are held no longer."""
        self._used_bytes -= size
        if self._used_bytes < self._limit_bytes * _ROOM:
            self._was_full = False
