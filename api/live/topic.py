"""A channel with its subscribers, and what a newcomer is shown first."""

from asyncio import Task
from typing import Protocol

from msgspec import UNSET

from api.live.changes import Change, Data
from api.live.channel_states import State
from api.live.cursor import Cursor, Order
from api.live.protocol import Channel, Frame, Snapshot, Update, encode
from api.views.alerts import firing_view
from api.views.bot import account_view
from api.views.trades import candle_view, gap_view, trade_view
from tickplant.derived import Firing, Signal, Unified, signal_view
from tickplant.market import Candle, Gap, Trade
from tickplant.paper_bot import Account


class Sink(Protocol):
    """What takes frames."""

    def push(self, key: str, frame: Frame) -> None:
        """Queue a frame, in place of one with the same key."""


class Topic:
    """One channel."""

    def __init__(self, channel: Channel, partition: int) -> None:
        self.channel = channel
        self.name = str(channel)
        self.partition = partition
        self.sinks: set[Sink] = set()
        """Who gets every change."""
        self.users = 0
        """Who is subscribed or about to be."""
        self.state: State | None = None
        """None while nothing is known: it is loaded for the first who asks, and kept up to date from then."""
        self.backlog: list[tuple[Order, Change]] | None = None
        """Changes that came while the state was being loaded."""
        self.loading: Task[None] | None = None
        self._keys = 0

    def key(self, data: Data) -> str:
        """Return the key of a change: a later one with the same key makes it needless."""
        if isinstance(data, Candle):
            return f"{self.name}@{data.open_time_us}"
        if isinstance(data, Gap):
            return f"{self.name}@{data.first_id}-{data.last_id}"
        if isinstance(data, Trade | Account | Unified):
            return self.name
        self._keys += 1
        return f"{self.name}#{self._keys}"

    def update_frame(self, cursor: Cursor, data: Data) -> Frame:
        """Encode a change."""
        text = str(cursor)
        return encode(_update(self.name, text, data), text)

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


def _update(channel: str, cursor: str, data: Data) -> Update:
    match data:
        case Trade():
            return Update("price", channel, cursor, trade_view(data))
        case Candle():
            return Update("candle", channel, cursor, candle_view(data))
        case Gap():
            return Update("gap", channel, cursor, gap_view(data))
        case Signal():
            return Update("signal", channel, cursor, signal_view(data))
        case Firing():
            return Update("firing", channel, cursor, firing_view(data))
        case Account():
            return Update("account", channel, cursor, account_view(data))
        case Unified():
            return Update("unified", channel, cursor, data)
        case _:
            return Update("trades", channel, cursor, [trade_view(trade) for trade in data])
