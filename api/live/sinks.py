"""Where changes wait before a client's queue: while it catches up, and for an interval."""

import asyncio
import re
from typing import Final

from api.live.client import Client, MessageSink, Outbox
from api.live.frames import EncodedMessage
from api.live.protocol import ProtocolError

SHORTEST_S: Final = 0.01
LONGEST_S: Final = 60.0
MOST_PACES: Final = 8
"""The most different intervals of one client, each of which has a queue."""

_TEXT: Final = re.compile(r"([0-9]{1,6})(ms|s)", re.ASCII)


def parse_every(text: str) -> float:
    """Return an interval such as 250ms or 1s in seconds.

    Raises:
        ProtocolError: it is none, or too short or too long.
    """
    match = _TEXT.fullmatch(text)
    every_s = int(match[1]) / (1000 if match[2] == "ms" else 1) if match else 0.0
    if not SHORTEST_S <= every_s <= LONGEST_S:
        raise ProtocolError(
            "invalid_request", f"every: {text[:20]!r} is not an interval from 10ms to 60s, such as 250ms"
        )
    return every_s


class CatchUpBuffer:
    """Buffers new changes for a client while it gets those that it missed."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._outbox = Outbox(client.limit_bytes)

    def push(self, key: str, frame: EncodedMessage) -> None:
        """Buffer a frame, in place of the one with the same key."""
        if not self.client.closed and not self._outbox.put(key, frame):
            self.client.close_slow_client()

    def clear(self) -> None:
        """Drop all frames."""
        self._outbox.clear()

    def release(self) -> None:
        """Move all frames to the client."""
        self._outbox.move_to(self.client)


class PacedSink:
    """Collects frames for a client, and moves them to its queue at most once in an interval."""

    def __init__(self, client: Client, every_s: float) -> None:
        self._client = client
        self._every_s = every_s
        self._outbox = Outbox(client.limit_bytes)
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def push(self, key: str, frame: EncodedMessage) -> None:
        """Collect a frame, in place of the one with the same key."""
        if self._client.closed:
            return
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, self._due_s - loop.time()), self._release_due)
        if not self._outbox.put(key, frame):
            self._client.close_slow_client()

    def release(self) -> None:
        """Move all frames to the client before they are due."""
        self._outbox.move_to(self._client)

    def _release_due(self) -> None:
        self._timer = None
        if self._client.closed:
            self._outbox.clear()
        elif self._outbox.waiting:
            self._due_s = asyncio.get_running_loop().time() + self._every_s
            self.release()
            self._client.flush_now()


def sink_of(client: Client, every_s: float | None) -> MessageSink:
    """Return where a client's changes go: to its queue, or to the one of an interval.

    Raises:
        ProtocolError: the client has too many different intervals.
    """
    if every_s is None:
        return client
    sink = client.paces.get(every_s)
    if sink is None:
        if len(client.paces) >= MOST_PACES:
            raise ProtocolError(
                "invalid_request", f"every: a client may have {MOST_PACES} different intervals"
            )
        sink = client.paces[every_s] = PacedSink(client, every_s)
    return sink
