"""What a partition has absorbed since its last live update. Pure."""

from msgspec import Raw

from tickplant.wire import LiveEntry, LiveUpdate
from workers.symbol_state import SymbolState


class Unpublished:
    """The trades, prices and open candles of a partition that are not in a live update yet.

    Attributes:
        priced: the symbols with new trades.
        candles: the symbols whose open candles have changed.
        longer_candles: those whose candles longer than a minute have changed; the 1m candles of some of them
            have been in a live update.
    """

    def __init__(self) -> None:
        self._entries: list[LiveEntry] = []
        self.priced: dict[SymbolState, None] = {}
        self.candles: dict[SymbolState, None] = {}
        self.longer_candles: dict[SymbolState, None] = {}

    def add_trades(self, entry_id: str, payload: bytes) -> None:
        """Add the encoded new trades of an entry."""
        self._entries.append(LiveEntry(entry_id, Raw(payload)))

    def take_update(self, *, candles: bool, longer_candles: bool) -> LiveUpdate | None:
        """Return everything as an update; None if nothing has changed.

        Args:
            candles: whether to include the open 1m candles; otherwise a later call returns them.
            longer_candles: whether to include all open candles.
        """
        changed: dict[SymbolState, None] = {}
        if longer_candles:
            changed, self.candles, self.longer_candles = self.longer_candles, {}, {}
        elif candles:
            changed, self.candles = self.candles, {}
        if not self._entries and not changed:
            return None
        entries, self._entries = self._entries, []
        priced, self.priced = self.priced, {}
        return LiveUpdate(
            tuple(entries),
            tuple(state.last for state in priced if state.last is not None),
            tuple(candle for state in changed for candle in state.take_open(longer=longer_candles)),
        )
