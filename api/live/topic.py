"""A channel with its subscribers, and what a newcomer is shown first."""

from asyncio import Task
from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol, cast

from msgspec import UNSET

from api.live.changes import Change, Data
from api.live.cursor import Cursor, Order
from api.live.protocol import Channel, Frame, Snapshot, Update, View, encode
from api.views import CandleView, GapView, TradeView, candle_view, gap_view, trade_view
from tickplant.market import Candle, Gap, Trade

SNAPSHOT_TRADES: Final = 50
SNAPSHOT_CANDLES: Final = 2
"""The newest, and the one before it, which may be about to close."""


class Sink(Protocol):
    """What takes frames."""

    def push(self, key: str, frame: Frame) -> None:
        """Queue a frame, in place of one with the same key."""


class State(Protocol):
    """What is known of a channel."""

    def keep(self, data: Data) -> None:
        """Take a change."""

    def view(self) -> View:
        """Return everything, for a snapshot."""


class PriceState:
    """The last trade."""

    def __init__(self, last: Trade | None) -> None:
        self._last = last

    def keep(self, data: Data) -> None:
        """Take a newer trade."""
        self._last = cast(Trade, data)

    def view(self) -> TradeView | None:
        """Return the last trade."""
        return trade_view(self._last) if self._last else None


class CandleState:
    """The newest candles."""

    def __init__(self, candles: Iterable[Candle]) -> None:
        self._candles: dict[int, Candle] = {}
        for candle in candles:
            self.keep(candle)

    def keep(self, data: Data) -> None:
        """Take the whole new state of a candle."""
        candle = cast(Candle, data)
        self._candles[candle.open_time_us] = candle
        if len(self._candles) > SNAPSHOT_CANDLES:
            del self._candles[min(self._candles)]

    def view(self) -> list[CandleView]:
        """Return the candles, oldest first."""
        return [candle_view(self._candles[opened]) for opened in sorted(self._candles)]


class TradesState:
    """The newest trades."""

    def __init__(self, trades: Iterable[Trade]) -> None:
        self._trades = deque(trades, maxlen=SNAPSHOT_TRADES)

    def keep(self, data: Data) -> None:
        """Take more trades."""
        self._trades.extend(cast(list[Trade], data))

    def view(self) -> list[TradeView]:
        """Return the trades, oldest first."""
        return [trade_view(trade) for trade in self._trades]


class GapsState:
    """The gaps that are not healed."""

    def __init__(self, gaps: Iterable[Gap]) -> None:
        self._gaps = {(gap.first_id, gap.last_id): gap for gap in gaps}

    def keep(self, data: Data) -> None:
        """Take the whole new state of a gap."""
        gap = cast(Gap, data)
        if gap.state == "healed":
            self._gaps.pop((gap.first_id, gap.last_id), None)
        else:
            self._gaps[gap.first_id, gap.last_id] = gap

    def view(self) -> list[GapView]:
        """Return the gaps in order of their ids."""
        return [gap_view(self._gaps[ids]) for ids in sorted(self._gaps)]


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
        if isinstance(data, Trade):
            return self.name
        self._keys += 1
        return f"{self.name}#{self._keys}"

    def update_frame(self, cursor: Cursor, data: Data) -> Frame:
        """Encode a change."""
        text = str(cursor)
        if isinstance(data, Candle):
            return encode(Update("candle", self.name, text, candle_view(data)), text)
        if isinstance(data, Gap):
            return encode(Update("gap", self.name, text, gap_view(data)), text)
        if isinstance(data, Trade):
            return encode(Update("price", self.name, text, trade_view(data)), text)
        return encode(Update("trades", self.name, text, [trade_view(trade) for trade in data]), text)

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
