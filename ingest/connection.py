"""A websocket to a venue that returns frames in batches, in order of arrival.

The library wakes a task for every message and parses each frame in several Python steps, which took two
thirds of the CPU time of ingest. So frames are split here (RFC 6455, section 5.2): complete text messages are
queued, and all other frames are passed to the library. The library still handles the handshake, pings,
closing, limits, fragments and protocol violations.
"""

import asyncio
from collections import deque
from functools import partial
from typing import Any, Final, NamedTuple, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidMessage, ProxyError
from websockets.frames import Frame, Opcode
from websockets.protocol import CONNECTING, OPEN

from ingest.buffer import FRAME_BYTES, FrameBuffer
from tickplant.clock import NowUs, now_us
from tickplant.network_errors import system_reason
from tickplant.proxies import Proxy

MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
_BATCH_FRAMES: Final = 1_024
"""The approximate number of frames in a batch; pings are answered between batches."""
_OWN_BUFFER_BYTES: Final = 64 << 20
"""The bound of a connection that shares no buffer."""
_WHOLE_TEXT: Final = 0x81
"""First byte of a frame that is a complete, uncompressed text message."""
_END_OF_HEADERS: Final = b"\r\n\r\n"


class SocketRead(NamedTuple):
    """The frames of one read of the socket."""

    time_us: int
    """When they were received."""
    frames: list[bytes]

    @property
    def size(self) -> int:
        """The approximate memory of the frames, in bytes."""
        return sum(map(len, self.frames)) + FRAME_BYTES * len(self.frames)


class VenueConnection(ClientConnection):
    """A websocket client that returns frames in batches."""

    def __init__(self, *args: Any, buffer: FrameBuffer, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now_us: NowUs = now_us
        self._buffer = buffer
        self._reads: deque[SocketRead] = deque()
        self._frames: list[bytes] = []
        self._waiting_frames = 0
        self._headers_end = b""
        self._unparsed = b""
        self._fragments: list[bytes] = []
        self._arrived = asyncio.Event()
        self._paused = False
        self._last_read_s = self._last_frame_s = self.loop.time()
        self.frame_count = 0
        """Messages received so far."""

    async def take(self) -> list[SocketRead]:
        """Return the frames received since the last call, in order; wait for at least one.

        Raises:
            ConnectionClosed: the connection has ended and everything received has been taken.
        """
        while not self._reads:
            if self.connection_lost_waiter.done():
                raise self.protocol.close_exc
            self._arrived.clear()
            await self._arrived.wait()
        reads: list[SocketRead] = []
        count = 0
        while self._reads and count < _BATCH_FRAMES:
            received = self._reads.popleft()
            self._buffer.remove(received.size)
            reads.append(received)
            count += len(received.frames)
        self._waiting_frames -= count
        self.resume()
        return reads

    def resume(self) -> None:
        """Resume a paused socket if the buffer has room; to be called every second."""
        if self._paused and not (self._reads and self._buffer.is_full(self._waiting_frames)):
            self._paused = False
            self._last_read_s = self._last_frame_s = self.loop.time()
            self.transport.resume_reading()

    def discard(self) -> None:
        """Drop the frames that were not taken."""
        while self._reads:
            self._buffer.remove(self._reads.popleft().size)
        self._waiting_frames = 0

    @property
    def dead_s(self) -> float:
        """Time since the last read, answers to pings included; 0 while the socket is paused."""
        return 0.0 if self._paused else self.loop.time() - self._last_read_s

    @property
    def mute_s(self) -> float:
        """Time since the last message; 0 while the socket is paused."""
        return 0.0 if self._paused else self.loop.time() - self._last_frame_s

    @property
    def drained(self) -> bool:
        """Whether everything received has been taken."""
        return not self._reads

    def data_received(self, data: bytes) -> None:
        """Queue complete text messages, and pass everything else to the library."""
        self._last_read_s = self.loop.time()
        if self.protocol.state is CONNECTING:
            data = self._pass_handshake(data)
        if self.protocol.state is OPEN:
            self._split(self._unparsed + data if self._unparsed else data)
        elif data:  # refused or closing: the library receives an incomplete frame, too
            self._unparsed, data = b"", self._unparsed + data
            super().data_received(data)
        if self._frames:
            self._last_frame_s = self._last_read_s
            self.frame_count += len(self._frames)
            received = SocketRead(self.now_us(), self._frames)
            self._reads.append(received)
            self._buffer.add(received.size)
            self._waiting_frames += len(self._frames)
            self._frames = []
            self._arrived.set()
            if not self._paused and self._buffer.is_full(self._waiting_frames):
                self._paused = True
                self.transport.pause_reading()

    def process_event(self, event: Any) -> None:
        """Queue messages that the library has parsed."""
        if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._add_frame(event)
        else:
            super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake the task that waits for frames."""
        super().connection_lost(exc)
        self._arrived.set()

    def _pass_handshake(self, data: bytes) -> bytes:
        """Pass the handshake's headers to the library; return the bytes that follow them.

        The same read may contain frames. The library would start to parse an incomplete last frame, and the
        start of the next frame could not be detected, as it consumes header and payload separately.
        """
        headers = self._headers_end + data
        end = headers.find(_END_OF_HEADERS)
        header_bytes = len(data) if end < 0 else end + len(_END_OF_HEADERS) - len(self._headers_end)
        self._headers_end = headers[1 - len(_END_OF_HEADERS) :]
        super().data_received(data[:header_bytes])
        return data[header_bytes:]

    def _split(self, data: bytes) -> None:
        """Split data into frames; store an incomplete one until the next read."""
        frames = self._frames
        position, end = 0, len(data)
        while end - position >= 2:
            length, start = data[position + 1], position + 2
            if length == 126:
                start += 2
                length = int.from_bytes(data[position + 2 : start])
            elif length == 127:
                start += 8
                length = int.from_bytes(data[position + 2 : start])
            if (
                length > MAX_FRAME_BYTES or data[position + 1] > 127
            ):  # too long, or masked, which servers must not do
                super().data_received(data[position:])
                position = end
            elif start > end or start + length > end:
                break
            elif data[position] == _WHOLE_TEXT:
                position = start + length
                frames.append(data[start:position])
            else:
                super().data_received(data[position : start + length])
                position = start + length
        self._unparsed = data[position:]

    def _add_frame(self, frame: Frame) -> None:
        if frame.fin and not self._fragments:
            self._frames.append(bytes(frame.data))
            return
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            self._frames.append(b"".join(self._fragments))
            self._fragments = []


class _ProxiedConnect(connect):
    def __init__(self, url: str, *, via: Proxy | None, **options: Any) -> None:
        super().__init__(url, proxy=via.url if via else None, **options)
        self._via = via

    async def __aenter__(self) -> ClientConnection:
        try:
            return await super().__aenter__()
        except (OSError, ProxyError, InvalidMessage) as error:
            if self._via is None:
                raise
            raise ConnectionError(
                f"through the proxy {self._via}: {system_reason(error) or error}"
            ) from error


def open_connection(
    url: str, *, timeout_s: float, buffer: FrameBuffer | None = None, proxy: Proxy | None = None
) -> connect:
    """Return an async context manager that yields a `VenueConnection`.

    Args:
        url: ws:// or wss:// address.
        timeout_s: longest wait for the connection and its handshake.
        buffer: bounds the waiting frames of several connections; None for a bound of this one alone.
        proxy: to connect through; named by connection errors.
    """
    buffer = buffer or FrameBuffer(_OWN_BUFFER_BYTES, lambda: 0.0)
    return _ProxiedConnect(
        url,
        via=proxy,
        create_connection=cast("type[ClientConnection]", partial(VenueConnection, buffer=buffer)),
        compression=None,
        max_size=MAX_FRAME_BYTES,
        open_timeout=timeout_s,
        ping_interval=20,
        ping_timeout=None,  # a paused socket receives no pong; VenueSession checks for silence
        close_timeout=2,
    )
