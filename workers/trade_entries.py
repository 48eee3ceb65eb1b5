"""Stream entries of live trades, decoded by columns, so that a whole read can be absorbed at once. Pure."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tickplant import wire
from tickplant.errors import PoisonError
from tickplant.kernel import TradeColumns, concat, decode_columns, encode_columns
from tickplant.streams import entry_order
from workers.trimming import Entry


class TradeEntry:
    """One entry of live trades.

    Attributes:
        entry_id: its id in the stream.
        time_ms: when it was written, by the clock of Redis.
        columns: its trades, one element a symbol.
        new: those that were new; filled as they are absorbed.
    """

    __slots__ = ("_payload", "columns", "entry_id", "new", "time_ms")

    def __init__(self, entry_id: str, payload: bytes, columns: list[TradeColumns]) -> None:
        self.entry_id = entry_id
        self.time_ms = entry_order(entry_id)[0]
        self.columns = columns
        self.new: list[TradeColumns] = []
        self._payload = payload

    @property
    def new_payload(self) -> bytes | None:
        """The new trades, encoded; None if there are none."""
        if not self.new:
            return None
        known = set(map(id, self.columns))
        unchanged = len(self.new) == len(self.columns) and all(id(trades) in known for trades in self.new)
        return self._payload if unchanged else encode_columns(self.new)


class SymbolRun(NamedTuple):
    """The trades of one symbol in some entries."""

    trades: TradeColumns
    """All of them."""
    parts: list[tuple[TradeEntry, TradeColumns]]
    """The same, entry by entry."""


class TradeEntries(NamedTuple):
    """Consecutive entries of live trades."""

    entries: list[TradeEntry]
    numbered: bool
    """Whether the ids are the venues' own."""

    def by_symbol(self) -> list[SymbolRun]:
        """Return the trades of each symbol, in order of first appearance."""
        parts: dict[tuple[str, str], list[tuple[TradeEntry, TradeColumns]]] = {}
        for entry in self.entries:
            for columns in entry.columns:
                parts.setdefault((columns.venue, columns.symbol), []).append((entry, columns))
        return [SymbolRun(concat([columns for _, columns in group]), group) for group in parts.values()]

    def before(self, is_fault: Callable[[TradeColumns], bool]) -> "TradeEntries":
        """Return the entries before the first one in which trades of any symbol are faulty."""
        for place, entry in enumerate(self.entries):
            if any(map(is_fault, entry.columns)):
                return TradeEntries(self.entries[:place], self.numbered)
        return self


def decode_trade_entries(entries: Sequence[Entry]) -> TradeEntries:
    """Decode the entries of live trades at the start of a read, up to a malformed one or another kind."""
    found: list[TradeEntry] = []
    kind: bytes | None = None
    for entry_id, fields in entries:
        name = wire.TRADES if wire.TRADES in fields else wire.UNNUMBERED
        if name not in fields or kind not in (None, name):
            break
        kind = name
        try:
            found.append(TradeEntry(entry_id, fields[name], decode_columns(fields[name])))
        except PoisonError:
            break
    return TradeEntries(found, kind != wire.UNNUMBERED)
