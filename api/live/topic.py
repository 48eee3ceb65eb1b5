"""A channel with its subscribers, and what a newcomer is shown first."""

from asyncio import Task
from typing import Any, Protocol

from msgspec import UNSET

from api.live.changes import Change
from api.live.channel_states import ChannelState
from api.live.channels import STREAMED
from api.live.cursor import Cursor, Order
from api.live.protocol import Channel, Frame, Snapshot, Update, encode


class Sink(Protocol):
    """What takes frames."""

    def push(self, key: str, frame: Frame) -> None:
        """Queue a frame, in place of one with the same key."""


class Topic:
    """One channel."""

    def __init__(self, channel: Channel, partition: int) -> None:
        self.channel = channel
        self.name = str(channel)
        self._definition = STREAMED[channel.kind]
        self.partition = partition
        self.sinks: set[Sink] = set()
        """Who gets every change."""
        self.users = 0
        """Who is subscribed or about to be."""
        self.state: ChannelState | None = None
        """None while nothing is known: it is loaded for the first who asks, and kept up to date from then."""
        self.backlog: list[tuple[Order, Change]] | None = None
        """Changes that came while the state was being loaded."""
        self.loading: Task[None] | None = None
        self._keys = 0

    def key(self, data: Any) -> str:
        """Return the conflation key of a change: a later change with the same key supersedes it."""
        if self._definition.conflation_key is not None:
            return self.name + self._definition.conflation_key(data)
        self._keys += 1
        return f"{self.name}#{self._keys}"

    def update_frame(self, cursor: Cursor, data: Any) -> Frame:
        """Encode a change."""
        text = str(cursor)
        message = Update(self._definition.message, self.name, text, self._definition.view(data))
        return encode(message, text)

    def snapshot_frame(self, cursor: Cursor, *, recovered: bool | None) -> Frame:
        """Encode all that is known; the state must be loaded.

        Args:
            cursor: where updates go on.
            recovered: False where the client had more than it can be given back; None where it begins anew.
        """
        assert self.state is not None
        text = str(cursor)
        flag = UNSET if recovered is None else recovered
        return encode(Snapshot(self.name, text, flag, self.state.view()), text)
