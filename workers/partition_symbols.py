"""The symbols of one partition, with their states. Pure."""

from collections.abc import Mapping

from tickplant.kernel import TradeColumns
from tickplant.market import Gap, SymbolId
from tickplant.streams import partition_of
from tickplant.trade_rules import is_name
from workers.ranges import Ranges
from workers.symbol_state import SymbolState


class PartitionSymbols:
    """The states of a partition's symbols, and which symbols may be among them."""

    def __init__(self, partition: int, partitions: int) -> None:
        """Take the number of the partition, and how many there are."""
        self._partition = partition
        self._partitions = partitions
        self._states: dict[tuple[str, str], SymbolState] = {}
        self.find = self._states.get
        """Return the state of a symbol; None if there is none."""

    def missing_of(self, symbol: SymbolId) -> Ranges | None:
        """Return the missing ids of a symbol's ledger; None if the symbol has no ledger."""
        state = self._states.get(symbol)
        return None if state is None else state.ledger.missing

    def gaps_for_ingest(
        self, gaps: Mapping[tuple[str, str], list[Gap]], now_us: int
    ) -> dict[tuple[str, str], list[Gap]]:
        """Return gaps as ingest can request them: with the venue's own ids, and with suspected gaps."""
        return {
            key: state.gaps_for_ingest(members, now_us) if (state := self._states.get(key)) else members
            for key, members in gaps.items()
        }

    def ownership_fault(self, key: tuple[str, str]) -> str | None:
        """Return why a symbol can't belong to this partition; None if it does."""
        if key in self._states:
            return None
        if not all(map(is_name, key)):
            return f"not a venue and symbol: {key!r}"
        if partition_of(*key, self._partitions) != self._partition:
            return f"{key[0]}:{key[1]} belongs to another partition than {self._partition}"
        return None

    def of_trades(self, trades: TradeColumns, *, numbered: bool) -> SymbolState:
        """Return the state of a symbol whose first trades decide whether its ids are the venue's own."""
        state = self.state((trades.venue, trades.symbol), numbered=numbered)
        if state.empty:
            state.ledger.numbered = numbered
        return state

    def state(self, key: tuple[str, str], *, numbered: bool = True) -> SymbolState:
        """Return the state of a symbol; a new one if there is none."""
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = SymbolState(*key, numbered=numbered)
        return state
