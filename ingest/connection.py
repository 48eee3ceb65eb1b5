"""One venue websocket: frames in the order of arrival, in batches of whatever has come.

The library hands out one message per wake-up of a task and parses each frame in several Python steps: two
thirds of the work of ingest. So frames are told apart here (RFC 6455, section 5.2): whole text messages are
kept, and every other frame goes to the library, whole. Handshake, pings, closing, limits, fragments and
violations of the protocol stay its own.
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
from tickplant.proxies import Proxy

MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
_TAKEN_FRAMES: Final = 1_024
"""About how many frames are taken at once, so that pings are answered in between."""
_OWN_BUFFER_BYTES: Final = 64 << 20
_WHOLE_TEXT: Final = 0x81
"""First byte of a frame that is a text message of its own: final, uncompressed."""
_END_OF_HEADERS: Final = b"\r\n\r\n"


class SocketRead(NamedTuple):
    """Frames that came out of one read of the socket."""

    time_us: int
    frames: list[bytes]

    @property
    def size(self) -> int:
        """Bytes that the frames take in memory, about."""
        return sum(map(len, self.frames)) + FRAME_BYTES * len(self.frames)


class VenueConnection(ClientConnection):
    """A websocket client whose frames are taken in batches."""

    def __init__(self, *args: Any, buffer: FrameBuffer, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now_us: NowUs = now_us
        self._buffer = buffer
        self._reads: deque[SocketRead] = deque()
        self._frames: list[bytes] = []
        self._waiting = 0
        self._headers_end = b""
        self._unparsed = b""
        self._fragments: list[bytes] = []
        self._arrived = asyncio.Event()
        self._paused = False
        self._heard_s = self._frame_s = self.loop.time()
        self.frame_count = 0
        """Messages received so far."""

    async def take(self) -> list[SocketRead]:
        """Return frames received since the last call, in their order; wait for at least one.

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
        while self._reads and count < _TAKEN_FRAMES:
            received = self._reads.popleft()
            self._buffer.remove(received.size)
            reads.append(received)
            count += len(received.frames)
        self._waiting -= count
        self.go_on()
        return reads

    def go_on(self) -> None:
        """Read the socket again if it was left unread and there is room; to be called every second, too."""
        if self._paused and not (self._reads and self._buffer.takes_no_more(self._waiting)):
            self._paused = False
            self._heard_s = self._frame_s = self.loop.time()
            self.transport.resume_reading()

    def discard(self) -> None:
        """Drop what has not been taken."""
        while self._reads:
            self._buffer.remove(self._reads.popleft().size)
        self._waiting = 0

    @property
    def dead_s(self) -> float:
        """For how long the socket has given nothing, not even an answer to a ping; 0 if it is paused."""
        return 0.0 if self._paused else self.loop.time() - self._heard_s

    @property
    def mute_s(self) -> float:
        """For how long no message has come; 0 if the socket is paused."""
        return 0.0 if self._paused else self.loop.time() - self._frame_s

    @property
    def drained(self) -> bool:
        """Whether everything received has been taken."""
        return not self._reads

    def data_received(self, data: bytes) -> None:
        """Keep whole text messages, and give the library the rest."""
        self._heard_s = self.loop.time()
        if self.protocol.state is CONNECTING:
            data = self._shake_hands(data)
        if self.protocol.state is OPEN:
            self._split(self._unparsed + data if self._unparsed else data)
        elif data:  # refused, or closing: a frame that has only begun is the library's now
            self._unparsed, data = b"", self._unparsed + data
            super().data_received(data)
        if self._frames:
            self._frame_s = self._heard_s
            self.frame_count += len(self._frames)
            received = SocketRead(self.now_us(), self._frames)
            self._reads.append(received)
            self._buffer.add(received.size)
            self._waiting += len(self._frames)
            self._frames = []
            self._arrived.set()
            if not self._paused and self._buffer.takes_no_more(self._waiting):
                self._paused = True
                self.transport.pause_reading()

    def process_event(self, event: Any) -> None:
        """Keep the messages that the library has parsed."""
        if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._keep(event)
        else:
            super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits for frames."""
        super().connection_lost(exc)
        self._arrived.set()

    def _shake_hands(self, data: bytes) -> bytes:
        """Give the library the headers of the handshake alone; return what follows them.

        Frames may come in the same read. The library would begin to parse the last of them, and nothing tells
        when it stands between two frames again: it takes headers and payload out of its buffer one by one.
        """
        headers = self._headers_end + data
        end = headers.find(_END_OF_HEADERS)
        own = len(data) if end < 0 else end + len(_END_OF_HEADERS) - len(self._headers_end)
        self._headers_end = headers[1 - len(_END_OF_HEADERS) :]
        super().data_received(data[:own])
        return data[own:]

    def _split(self, data: bytes) -> None:
        """Take whole frames off the front; keep what has only begun for the next read."""
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
            if length > MAX_FRAME_BYTES or data[position + 1] > 127:  # too long, or masked by a server
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

    def _keep(self, frame: Frame) -> None:
        if frame.fin and not self._fragments:
            self._frames.append(bytes(frame.data))
            return
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            self._frames.append(b"".join(self._fragments))
            self._fragments = []


class _Opening(connect):
    def __init__(self, url: str, *, through: Proxy | None, **options: Any) -> None:
        super().__init__(url, proxy=through.url if through else None, **options)
        self._through = through

    async def __aenter__(self) -> ClientConnection:
        try:
            return await super().__aenter__()
        except (OSError, ProxyError, InvalidMessage) as error:
            if self._through is None:
                raise
            raise ConnectionError(f"through the proxy {self._through}: {error}") from error


def open_connection(
    url: str, *, timeout_s: float, buffer: FrameBuffer | None = None, proxy: Proxy | None = None
) -> connect:
    """Return an async context manager that yields a `VenueConnection`.

    Args:
        url: ws:// or wss:// address.
        timeout_s: longest wait for the connection and its handshake.
        buffer: bounds what it holds, together with other connections; None: a bound of its own.
        proxy: leads to it; errors on the way name it.
    """
    buffer = buffer or FrameBuffer(_OWN_BUFFER_BYTES, lambda: 0.0)
    return _Opening(
        url,
        through=proxy,
        create_connection=cast("type[ClientConnection]", partial(VenueConnection, buffer=buffer)),
        compression=None,
        max_size=MAX_FRAME_BYTES,
        open_timeout=timeout_s,
        ping_interval=20,
        ping_timeout=None,  # a socket left unread gets no pong; silence has its own deadline
        close_timeout=2,
    )
