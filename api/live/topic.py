"""A channel with its state and subscribers."""

from asyncio import Task
from typing import Any

from msgspec import UNSET

from api.live.channel_changes import ChannelChange
from api.live.channel_states import ChannelState
from api.live.channels import STREAMED
from api.live.client import Client, MessageSink
from api.live.cursor import Cursor, Order
from api.live.frames import EncodedMessage, text_frame
from api.live.protocol import Channel, Snapshot, Update


class Topic:
    """A streamed channel."""

    def __init__(self, channel: Channel, partition: int) -> None:
        self.channel = channel
        self.name = str(channel)
        self._definition = STREAMED[channel.kind]
        self.partition = partition
        self.sinks: dict[Client, MessageSink] = {}
        """The receivers of every change, and where it goes."""
        self.users = 0
        """The number of clients that are subscribed or about to be."""
        self.state: ChannelState | None = None
        """None until it is loaded for the first subscriber; updated from then on."""
        self.backlog: list[tuple[Order, ChannelChange]] | None = None
        """Changes that have arrived while the state is being loaded."""
        self.loading: Task[None] | None = None
        self._keys = 0

    def key(self, data: Any) -> str:
        """Return the conflation key of a change: a later change with the same key supersedes it."""
        if self._definition.conflation_key is not None:
            return self.name + self._definition.conflation_key(data)
        self._keys += 1
        return f"{self.name}#{self._keys}"

    def update_frame(self, cursor: Cursor, data: Any) -> EncodedMessage:
        """Encode a change."""
        text = str(cursor)
        message = Update(self._definition.message, self.name, text, self._definition.view(data))
        return text_frame(message, text)

    def snapshot_frame(self, cursor: Cursor, *, recovered: bool | None) -> EncodedMessage:
        """Encode the state, which must be loaded.

        Args:
            cursor: where updates continue.
            recovered: False if the client missed something; None for a new subscription.
        """
        assert self.state is not None
        text = str(cursor)
        flag = UNSET if recovered is None else recovered
        return text_frame(Snapshot(self.name, text, flag, self.state.view()), text)
