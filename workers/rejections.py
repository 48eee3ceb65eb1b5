"""Trades that are not stored, and why. Pure."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from tickplant import wire
from tickplant.errors import PoisonError
from tickplant.market import SymbolId, Trade
from tickplant.times import format_time
from workers.recent_trades import RecentTrades

Why = Literal["invalid", "time", "id", "zero", "contradiction"]
"""What is wrong with a trade that is not stored: the label of its metric."""

_MOST_UNKNOWN: Final = 100
"""Repeated trades that one transaction compares with what is stored; the others go unchecked."""
_SAME_TIME_US: Final = 1_000
"""Times of one trade may differ by so much: a socket and history round them in ways of their own."""


class RejectedTrade(NamedTuple):
    """A trade that is not stored."""

    trade: Trade
    why: Why
    reason: str


class Rejection(NamedTuple):
    """A trade that is not stored, as it is kept as a dead letter."""

    entry_id: str
    payload: bytes
    """A batch of that trade alone, as in an entry; or what should have been a trade."""
    why: Why
    reason: str


def rejection_of(entry_id: str, rejected: RejectedTrade) -> Rejection:
    """Return a rejected trade as it is kept."""
    return Rejection(entry_id, wire.encode_trades([rejected.trade]), rejected.why, rejected.reason)


def contradiction_of(known: Trade | None) -> str:
    """Return why a trade is rejected whose id is taken.

    Args:
        known: the trade that has the id; None where it is not at hand.
    """
    if known is None:
        return "another trade is stored under its id"
    stored = f"price {known.price}, size {known.size}, event time {format_time(known.event_time_us)}"
    return f"another trade is stored under its id: {stored}"


def is_same(known: Trade, trade: Trade) -> bool:
    """Return whether two trades of one id are the same."""
    return (
        abs(known.event_time_us - trade.event_time_us) <= _SAME_TIME_US
        and (known.price == trade.price or Decimal(known.price) == Decimal(trade.price))
        and (known.size == trade.size or Decimal(known.size) == Decimal(trade.size))
    )


class Rejections:
    """The trades of a partition that are not stored, and why not."""

    def __init__(self) -> None:
        self.entry_id = ""
        """The present entry."""
        self._recent = RecentTrades()
        self._unknown: list[Trade] = []
        self._rejections: list[Rejection] = []

    def decode(self, payload: bytes) -> list[Trade]:
        """Decode the trades of an entry; what is no trade is rejected.

        Raises:
            PoisonError: the payload is no list.
        """
        try:
            return wire.decode_trades(payload)
        except PoisonError:
            trades, broken = wire.decode_each_trade(payload)
            self._rejections += [Rejection(self.entry_id, part, "invalid", reason) for part, reason in broken]
            return trades

    def add(self, rejected: RejectedTrade) -> None:
        """Note a trade that is not stored."""
        self._rejections.append(rejection_of(self.entry_id, rejected))

    def note_stored(self, key: SymbolId, new: Sequence[Trade]) -> None:
        """Note trades that are stored, to compare with those that come again."""
        self._recent.add(key, new)

    def is_stored(self, key: SymbolId, trade: Trade) -> bool:
        """Return whether the very same trade has been stored lately."""
        known = self._recent.find(key, trade.trade_id)
        return known is not None and is_same(known, trade)

    def compare(self, key: SymbolId, repeated: Iterable[Trade]) -> None:
        """Compare repeated trades with the stored ones, most of which are in memory."""
        for trade in repeated:
            known = self._recent.find(key, trade.trade_id)
            if known is None:
                if len(self._unknown) < _MOST_UNKNOWN:
                    self._unknown.append(trade)
            elif not is_same(known, trade):
                self.add(RejectedTrade(trade, "contradiction", contradiction_of(known)))

    def take(self) -> list[Rejection]:
        """Return the trades rejected since the last call."""
        rejections, self._rejections = self._rejections, []
        return rejections

    def take_unknown(self) -> list[Trade]:
        """Return the repeated trades that are to be looked up, found since the last call."""
        unknown, self._unknown = self._unknown, []
        return unknown
