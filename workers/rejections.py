"""Rejected trades: they are not stored, but become dead letters. Pure."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from tickplant.errors import PoisonError
from tickplant.kernel import TradeColumns, decode_columns, decode_each_column, encode_trades
from tickplant.market import SymbolId, Trade
from tickplant.times import format_time
from workers.recent_trades import RecentTrades, max_trades_of

RejectionKind = Literal["invalid", "time", "id", "zero", "contradiction"]
"""What is wrong with a rejected trade: the label `why` of its metric."""

_MOST_UNKNOWN: Final = 100
"""Repeated trades that one transaction compares with the stored ones; the others are not compared."""
_CONTRADICTION: Final = "another trade is stored under its id"
_SAME_TIME_US: Final = 1_000
"""How far the times of one trade may differ: a venue's socket and history round them differently."""


class RejectedTrade(NamedTuple):
    """A trade that is not stored, with the reason."""

    trade: Trade
    kind: RejectionKind
    reason: str


class Rejection(NamedTuple):
    """A rejected trade in the form of its dead letter."""

    entry_id: str
    payload: bytes
    """An encoded batch of that trade alone; or the bytes that could not be decoded."""
    kind: RejectionKind
    reason: str


def rejection_of(entry_id: str, rejected: RejectedTrade) -> Rejection:
    """Return the dead letter of a rejected trade."""
    return Rejection(entry_id, encode_trades([rejected.trade]), rejected.kind, rejected.reason)


def contradiction(entry_id: str, trade: Trade) -> Rejection:
    """Return the dead letter of a trade whose id another trade has in the database."""
    return rejection_of(entry_id, RejectedTrade(trade, "contradiction", _CONTRADICTION))


def is_same_trade(known: Trade, trade: Trade) -> bool:
    """Return whether two trades of one id are the same."""
    return (
        abs(known.event_time_us - trade.event_time_us) <= _SAME_TIME_US
        and (known.price == trade.price or Decimal(known.price) == Decimal(trade.price))
        and (known.size == trade.size or Decimal(known.size) == Decimal(trade.size))
    )


class Rejections:
    """Collects the rejected trades of a partition."""

    def __init__(self, partitions: int) -> None:
        """Start empty.

        Args:
            partitions: how many there are; each keeps its share of the most recent trades.
        """
        self.entry_id = ""
        """The current entry."""
        self._recent = RecentTrades(max_trades_of(partitions))
        self._unknown: list[Trade] = []
        self._rejections: list[Rejection] = []

    def decode(self, payload: bytes) -> list[TradeColumns]:
        """Decode the trades of an entry by symbol; elements that are not trades are rejected.

        Raises:
            PoisonError: the payload is not a batch of trades.
        """
        try:
            return decode_columns(payload)
        except PoisonError:
            columns, broken = decode_each_column(payload)
            self._rejections += [Rejection(self.entry_id, part, "invalid", reason) for part, reason in broken]
            return columns

    def add(self, rejected: RejectedTrade) -> None:
        """Add a rejected trade."""
        self._rejections.append(rejection_of(self.entry_id, rejected))

    def note_stored(self, new: TradeColumns) -> None:
        """Note new trades, to compare repeated ones with them."""
        self._recent.add(new)

    def is_stored(self, key: SymbolId, trade: Trade) -> bool:
        """Return whether this very trade was stored recently."""
        known = self._recent.find(key, trade.trade_id)
        return known is not None and is_same_trade(known, trade)

    def compare(self, key: SymbolId, repeated: Iterable[Trade]) -> None:
        """Compare repeated trades with the stored ones; reject those that differ."""
        for trade in repeated:
            known = self._recent.find(key, trade.trade_id)
            if known is None:
                if len(self._unknown) < _MOST_UNKNOWN:
                    self._unknown.append(trade)
            elif not is_same_trade(known, trade):
                stored = (
                    f"price {known.price}, size {known.size}, event time {format_time(known.event_time_us)}"
                )
                self.add(RejectedTrade(trade, "contradiction", f"{_CONTRADICTION}: {stored}"))

    def take(self) -> list[Rejection]:
        """Return the trades rejected since the last call."""
        rejections, self._rejections = self._rejections, []
        return rejections

    def take_unknown(self) -> list[Trade]:
        """Return the repeated trades since the last call whose stored ones are not in memory."""
        unknown, self._unknown = self._unknown, []
        return unknown
