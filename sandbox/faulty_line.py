"""Injects faults between the source's frames and a client's socket."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from sandbox.faults import ConnectionFaults, Fault
from sandbox.frames import split_frames

_TICK_S: Final = 0.01
_PIECE_BYTES: Final = 300
"""What goes out of a slow line in a tick."""
_RELEASE_S: Final = 0.1
"""After so long without frames, those held back go out."""
_MUTE_S: Final = 20.0


class LineOutput(Protocol):
    """A client's socket."""

    def put(self, data: bytes | memoryview) -> None:
        """Send bytes; never blocks."""

    def abort(self) -> None:
        """End the connection without a closing handshake."""


class FaultyLine:
    """Frames on their way to one client.

    Args:
        faults: of this connection.
        output: the socket.
        on_fault: called with each injected fault.
    """

    def __init__(
        self, faults: ConnectionFaults, output: LineOutput, on_fault: Callable[[Fault], None]
    ) -> None:
        self.faults = faults
        self._output = output
        self._on_fault = on_fault
        self._loop = asyncio.get_running_loop()
        self._pending = bytearray()
        self._slow_until_s = 0.0
        self._fast = asyncio.Event()
        self._fast.set()
        self._releasing: asyncio.TimerHandle | None = None
        self._closed = asyncio.Event()
        self._waited_for = False

    @property
    def backlog_bytes(self) -> int:
        """What is still on the line."""
        return len(self._pending)

    def write(self, data: bytes | memoryview, *, exempt: bool) -> None:
        """Send frames, with faults unless they are exempt."""
        if exempt:
            self.write_exempt(b"".join((*self.faults.release(), data)))
            return
        passage = self.faults.pass_on(split_frames(data))
        if passage.slow_s:
            self._slow_down(passage.slow_s)
        self._put(passage.frames)
        for fault in passage.faults:
            self._on_fault(fault)
        if Fault.DROPPED in passage.faults:
            self._output.abort()
        if self.faults.holds and self._releasing is None:
            self._releasing = self._loop.call_later(_RELEASE_S, self._release)

    def write_exempt(self, data: bytes | memoryview) -> None:
        """Send data without faults; a silent line sends nothing."""
        if not self.faults.silent:
            self._put((data,))

    async def drained(self) -> None:
        """Wait until the line is no longer slow, and for a while that a mute one is replaced.

        Otherwise a tape at full speed would end before a client can notice.
        """
        await self._fast.wait()
        if self.faults.silent and not self._waited_for:
            self._waited_for = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), _MUTE_S)

    def close(self) -> None:
        """Discard what is on the line."""
        self._closed.set()
        self._pending.clear()
        self._fast.set()
        if self._releasing is not None:
            self._releasing.cancel()

    def _put(self, frames: Iterable[bytes | memoryview]) -> None:
        data = b"".join(frames)
        if self._fast.is_set():
            if data:
                self._output.put(data)
        else:
            self._pending += data

    def _slow_down(self, seconds: float) -> None:
        self._slow_until_s = self._loop.time() + seconds
        if self._fast.is_set():
            self._fast.clear()
            self._trickle()

    def _trickle(self) -> None:
        if self._closed.is_set():
            return
        slow = self._loop.time() < self._slow_until_s
        size = _PIECE_BYTES if slow else len(self._pending)
        self._output.put(bytes(self._pending[:size]))
        del self._pending[:size]
        if slow:
            self._loop.call_later(_TICK_S, self._trickle)
        else:
            self._fast.set()

    def _release(self) -> None:
        self._releasing = None
        self._put(self.faults.release())
