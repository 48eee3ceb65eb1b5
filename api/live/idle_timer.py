"""Closes websocket clients that want nothing."""

import asyncio

from api.live.client import Client, FrameWriter
from api.live.protocol import CloseCode
from tickplant import metrics


class IdleTimer:
    """Closes a client that has no channel, and sends no request for some time."""

    def __init__(self, client: Client, writer: FrameWriter, idle_s: float) -> None:
        """Start."""
        self._client = client
        self._writer = writer
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self.restart()
        self._timer = self._loop.call_at(self._due_s, self._check)

    def restart(self) -> None:
        """Note a request."""
        self._due_s = self._loop.time() + self._idle_s

    def cancel(self) -> None:
        """Stop."""
        self._timer.cancel()

    def _check(self) -> None:
        if self._client.channels or self._client.patterns:
            self.restart()
        if self._loop.time() < self._due_s:
            self._timer = self._loop.call_at(self._due_s, self._check)
            return
        metrics.API_DROPS.labels("idle").inc()
        self._writer.close_now(CloseCode.IDLE, f"no channel and no request for {self._idle_s:g} s")
