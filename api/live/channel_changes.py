"""The changes of channels in a live update, in one order that all cursors share. Pure."""

from collections.abc import Callable, Container, Iterator
from typing import Any, NamedTuple

from api.live.channel_states import EntryTrades
from api.live.channels import STREAMED
from api.live.cursor import Order
from api.live.protocol import Channel
from tickplant.streams import entry_order
from tickplant.wire import LiveUpdate


class ChannelChange(NamedTuple):
    """A change of one channel, of which a message is made."""

    channel: Channel
    number: int
    """Its place among the changes of the update, the same for every reader."""
    data: Any
    """The argument of the functions in the channel's definition."""

    @property
    def entry(self) -> Order | None:
        """The input entry, of trades."""
        return self.data.entry if isinstance(self.data, EntryTrades) else None


def changes_of(
    update: LiveUpdate,
    channels: Container[Channel],
    *,
    decode: bool,
    reject: Callable[[Channel], None] | None = None,
) -> Iterator[ChannelChange]:
    """Yield the changes of some channels.

    Args:
        update: whose changes.
        channels: the channels to yield.
        decode: whether to yield changes that have to be decoded, too.
        reject: called with the channel of each change that can't be sent; it is left out.

    Raises:
        PoisonError: what was decoded is not a batch of trades.
    """
    number = 0
    for definition in STREAMED.values():
        if definition.encoded and not decode:
            return
        for data in definition.changes(update):
            channel = Channel(definition.kind, *definition.address(data))
            if channel in channels:
                if definition.valid(data):
                    yield ChannelChange(channel, number, data)
                elif reject is not None:
                    reject(channel)
            number += 1


def last_entry(update: LiveUpdate) -> Order | None:
    """Return the last input entry in an update; None where it carries no trades."""
    return entry_order(update.entries[-1].entry_id) if update.entries else None
