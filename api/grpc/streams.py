"""Streams of candles and trades: the hub's messages as responses, as fast as the client reads them."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from google.protobuf.message import Message

from api.grpc.messages import Piece
from api.http.problems import RETRY_AFTER_S, Problem
from api.live.events import EventIds
from api.live.frames import EncodedMessage, MessageHead
from api.live.part_stream import PartStream
from api.live.protocol import CloseCode

CURSOR_S: Final = 5.0
"""How long a stream whose cursor has changed sends nothing before it sends the cursor alone: a client that
gets few responses would have an old one, and what comes after it may no longer be there."""

_DATA: Final = ("snapshot", "candle", "trades")
_PROBLEMS: Final = {
    CloseCode.SLOW: (
        429,
        "too_slow",
        "the client reads too slowly; call again with the cursor of the last response",
    ),
    CloseCode.UNAUTHORIZED: (401, "unauthorized", ""),
    CloseCode.RESTART: (503, "restarting", ""),
}


class ResponseStream(PartStream):
    """The responses to one client. Each has the cursor at which the stream continues after it."""

    def __init__(
        self,
        ids: EventIds,
        *,
        response: type[Message],
        pieces: Callable[[EncodedMessage], Sequence[Piece]],
        wanted: bool | None,
        failed: Callable[[MessageHead], Problem],
    ) -> None:
        """Start.

        Args:
            ids: the cursors.
            response: the type of the responses.
            pieces: returns what a message holds.
            wanted: whether only closed candles are sent, or only open ones; None: all.
            failed: returns the problem of an error in a channel.
        """
        self.idle_s = CURSOR_S
        self._end: Final = asyncio.Event()
        super().__init__(ids)
        self._response = response
        self._pieces = pieces
        self._wanted = wanted
        self._failed = failed
        self._cursor = ""
        """After the last message."""
        self._sent = ""
        """After the last response."""
        self.problem: Problem | None = None
        """Why the stream has ended."""

    @property
    def sent(self) -> str:
        """The cursor of the last response that was written; empty before the first."""
        return self._sent

    def encode(self, message: EncodedMessage, id_: str | None) -> bytes:
        """Return the response to a message, without its cursor; nothing of what isn't wanted."""
        self._cursor = self._cursor if id_ is None else id_
        head = message.head
        if head.type == "ack":  # the client knows from the first moment where to continue
            return self.sign_of_life()
        if head.type == "status":
            return self._serialized(stalled=b'"state":"stalled"' in message.payload)
        data = b""
        if head.type in _DATA:
            data = b"".join(
                piece.data
                for piece in self._pieces(message)
                if self._wanted is None or piece.closed is self._wanted
            )
        if head.recovered:
            return data
        kind, _, name = head.channel.partition(":")
        return self._serialized(lost=[name.rpartition(":")[0] if kind == "candles" else name]) + data

    def join(self, pieces: Sequence[bytes]) -> bytes:
        """Return a response that consists of others, with the cursor."""
        self._sent = self._cursor
        return b"".join(pieces) + self._serialized(cursor=self._sent)

    def sign_of_life(self) -> bytes:
        """Return the cursor, if it has changed."""
        return b"" if self._cursor == self._sent else self._serialized(cursor=self._cursor)

    def fail(self, error: MessageHead) -> None:
        """End the stream: the client calls again."""
        self._end_with(self._failed(error))

    def close_now(self, code: int, reason: str) -> None:
        """End the stream with a problem."""
        status, name, detail = _PROBLEMS.get(CloseCode(code), (500, "internal_error", ""))
        headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
        self._end_with(Problem(status, name, detail or reason, headers=headers))

    def end(self) -> None:
        """End the stream after what has been written."""
        super().end()
        self._end.set()

    async def ended(self) -> None:
        """Wait until the stream has ended."""
        await self._end.wait()

    def _end_with(self, problem: Problem) -> None:
        if not self._ended:
            self.problem = problem
            self._pending.clear()
            self.end()

    def _serialized(self, **values: object) -> bytes:
        return self._response(**values).SerializeToString()
