"""What a live iterator has yielded: where history must fill in, and what of it is new. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Generic, Protocol, TypeVar

from tickplant.client.messages import Candle, Trade

Row = TypeVar("Row", Candle, Trade)

RECENT: Final = 16
"""Candles whose states are kept."""
RECENT_TRADES: Final = 5_000
"""At least so many of the latest trades are recognised when they are repeated."""


class Progress(Protocol, Generic[Row]):
    """What has been yielded."""

    @property
    def start(self) -> datetime | None:
        """Where history that may be new starts; None if nothing has been yielded."""

    def add(self, rows: Iterable[Row], *, overlap: bool) -> list[Row]:
        """Add rows; return the new ones.

        Args:
            rows: in order.
            overlap: whether they are stored ones, which may be older than the newest one.
        """


class CandleProgress:
    """The states of the newest candles."""

    def __init__(self) -> None:
        self._recent: dict[datetime, Candle] = {}

    @property
    def start(self) -> datetime | None:
        """The oldest recent candle, since it may have changed."""
        return min(self._recent, default=None)

    def add(self, rows: Iterable[Candle], *, overlap: bool) -> list[Candle]:
        """Add states; return those that differ from the last one of their candle."""
        new = []
        for candle in rows:
            if self._recent.get(candle.open_time) == candle:
                continue
            new.append(candle)
            self._recent[candle.open_time] = candle
            if len(self._recent) > RECENT:
                del self._recent[min(self._recent)]
        return new


class TradeProgress:
    """The newest trade, which trades that arrive late don't change, and the latest ones.

    Trades are sent live before they are stored. Those that Redis loses then are fetched from the venue, and
    sent live again.
    """

    def __init__(self) -> None:
        self._newest: tuple[datetime, int] | None = None
        self._recent: set[tuple[datetime, int]] = set()
        self._older: set[tuple[datetime, int]] = set()

    @property
    def start(self) -> datetime | None:
        """The newest trade's time."""
        return self._newest[0] if self._newest else None

    def add(self, rows: Iterable[Trade], *, overlap: bool) -> list[Trade]:
        """Add trades; return those after the newest one, and live ones that are not repeated."""
        new = []
        for trade in rows:
            position = (trade.event_time, trade.trade_id)
            is_later = self._newest is None or position > self._newest
            if is_later:
                self._newest = position
            elif overlap or position in self._recent or position in self._older:
                continue
            new.append(trade)
            self._recent.add(position)
            if len(self._recent) == RECENT_TRADES:
                self._recent, self._older = set(), self._recent
        return new
